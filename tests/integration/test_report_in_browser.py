"""The report, opened in headless Chromium as a reader would.

Needs Chromium and its driver (Debian: chromium, chromium-driver) and selenium. Screenshots go to
the folder that HASHNET_SCREENSHOTS names, else to pytest's own.
"""

import os
import shutil
from pathlib import Path

import pytest
from made_runs import make_run
from report import write_report
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

FIGURES = 8
FLAGS = (
    "--headless",
    "--no-sandbox",  # needed as root, where CI runs
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    assert all(programs), "this test needs Chromium: apt-get install chromium chromium-driver"
    options.binary_location = programs[0]
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=["digits", "pictures"])
def page(request, browser, tmp_path_factory):
    """The browser with a report open: of small grey digits, or of pictures with several labels."""
    folder = tmp_path_factory.mktemp("runs") / request.param
    report = write_report(folder, *make_run(folder, multi_label=request.param == "pictures"))
    browser.name_of_run = request.param
    _resize(browser, 1280, dark=False)
    browser.get(report.as_uri())
    return browser


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    given = os.environ.get("HASHNET_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_the_report_loads_without_a_message_in_the_console(page):
    assert page.get_log("browser") == []
    loaded = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


def test_all_figures_and_pictures_are_drawn(page):
    figures = page.find_elements(By.CSS_SELECTOR, "figure img")
    pictures = page.find_elements(By.CSS_SELECTOR, ".query img")
    assert len(figures) == FIGURES
    assert len(pictures) == 12 * 11
    for image in figures + pictures:
        assert image.get_property("complete")
        assert image.get_property("naturalWidth") > 0
        assert image.size["width"] > 0


@pytest.mark.parametrize("press", ["click", "keyboard"])
def test_a_press_on_a_head_sorts_the_table_and_another_reverses_it(page, press):
    page.refresh()
    column = 2  # the expected MAP of a class
    button = page.find_elements(By.CSS_SELECTOR, "#classes th button")[column]
    head = button.find_element(By.XPATH, "..")

    def press_it():
        page.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click() if press == "click" else button.send_keys(Keys.ENTER)
        cells = page.find_elements(By.CSS_SELECTOR, f"#classes td:nth-child({column + 1})")
        return [float(cell.text) for cell in cells]

    assert head.get_attribute("aria-sort") is None
    values = press_it()
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    assert head.get_attribute("aria-sort") == "descending"
    assert press_it() == sorted(values)
    assert head.get_attribute("aria-sort") == "ascending"


def test_names_are_sorted_as_text_and_only_one_column_is_marked(page):
    page.refresh()
    buttons = page.find_elements(By.CSS_SELECTOR, "#classes th button")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", buttons[0])
    for button in (buttons[3], buttons[0], buttons[0]):
        button.click()
    names = [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "#classes tbody th")]
    assert names == sorted(names, key=lambda name: name.lstrip("<"), reverse=True)
    assert len(page.find_elements(By.CSS_SELECTOR, "#classes [aria-sort]")) == 1


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_width_of_screen_needs_sideways_scroll(page, width):
    _resize(page, width, dark=False)
    element = "document.documentElement"
    assert page.execute_script(f"return {element}.clientWidth") == width
    assert page.execute_script(f"return {element}.scrollWidth") <= width


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_a_screenshot_of_the_whole_page_is_taken(page, screenshots, width, dark):
    _resize(page, width, dark=dark)
    height = page.execute_script("return document.documentElement.scrollHeight")
    _resize(page, width, dark=dark, height=height)
    page.refresh()  # laid out anew: a resized page may keep stale parts in its picture
    name = f"{page.name_of_run}-{width}{'-dark' if dark else ''}.png"
    assert page.save_screenshot(str(screenshots / name))
    assert height > 1000


def _resize(browser, width, *, dark, height=900):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
