"""Tests the report and the search page in headless Chromium.

Requires selenium, Chromium and its driver (Debian: chromium, chromium-driver). Screenshots are
saved to the folder $HASHNET_SCREENSHOTS, or to a temporary folder if it is not set.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hashnet_jax.report import write_report, write_search_page
from tests.support.made_runs import make_run

FIGURES = 8
WIDTHS = (320, 390, 768, 1280)
FLAGS = (
    "--headless",
    "--no-sandbox",  # needed because CI runs as root
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
def report_page(request, tmp_path_factory):
    """Writes a report on small grey digits, or on pictures with several labels."""
    folder = tmp_path_factory.mktemp("runs") / request.param
    return write_report(folder, *make_run(folder, multi_label=request.param == "pictures"))


@pytest.fixture(scope="module")
def search_page(tmp_path_factory):
    """Writes a search page for pictures of various shapes and with long names."""
    folder = tmp_path_factory.mktemp("runs") / "search"
    folder.mkdir()
    rng, paths = np.random.default_rng(0), []
    for number, size in enumerate([(90, 300), (400, 90), (8, 8), (640, 480), (200, 200)]):
        paths.append(str(folder / f"IMG_{number:04}_{'a_very_long_' * number}name.png"))
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(paths[-1])
    results = [(query, [(n, path) for n, path in enumerate(paths)]) for query in paths[:2]]
    write_search_page(folder / "search.html", results, 48)
    return folder / "search.html"


@pytest.fixture
def report(browser, report_page):
    """Returns the browser with the report open."""
    return _open(browser, report_page)


@pytest.fixture
def search(browser, search_page):
    """Returns the browser with the search page open."""
    return _open(browser, search_page)


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    given = os.environ.get("HASHNET_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_the_report_loads_without_a_message_in_the_console(report):
    _expect_no_message_and_nothing_loaded(report)


def test_the_search_page_loads_without_a_message_in_the_console(search):
    _expect_no_message_and_nothing_loaded(search)


def test_all_figures_and_pictures_are_drawn(report):
    figures = report.find_elements(By.CSS_SELECTOR, "figure img")
    pictures = report.find_elements(By.CSS_SELECTOR, ".query img")
    assert len(figures) == FIGURES
    assert len(pictures) == 12 * 11
    _expect_drawn(figures + pictures)


def test_all_pictures_of_the_search_page_are_drawn(search):
    pictures = search.find_elements(By.CSS_SELECTOR, "img")
    assert len(pictures) == 2 * 6
    _expect_drawn(pictures)


@pytest.mark.parametrize("press", ["click", "keyboard"])
def test_clicking_a_column_header_sorts_the_table_and_clicking_again_reverses_it(report, press):
    report.refresh()
    column = 2  # the class's expected MAP
    button = report.find_elements(By.CSS_SELECTOR, "#classes th button")[column]
    head = button.find_element(By.XPATH, "..")

    def press_it():
        report.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click() if press == "click" else button.send_keys(Keys.ENTER)
        cells = report.find_elements(By.CSS_SELECTOR, f"#classes td:nth-child({column + 1})")
        return [float(cell.text) for cell in cells]

    assert head.get_attribute("aria-sort") is None
    values = press_it()
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    assert head.get_attribute("aria-sort") == "descending"
    assert press_it() == sorted(values)
    assert head.get_attribute("aria-sort") == "ascending"


def test_names_are_sorted_as_text_and_only_one_column_is_marked(report):
    report.refresh()
    buttons = report.find_elements(By.CSS_SELECTOR, "#classes th button")
    report.execute_script("arguments[0].scrollIntoView({block: 'center'})", buttons[0])
    for button in (buttons[3], buttons[0], buttons[0]):
        button.click()
    names = [cell.text for cell in report.find_elements(By.CSS_SELECTOR, "#classes tbody th")]
    assert names == sorted(names, key=lambda name: name.lstrip("<"), reverse=True)
    assert len(report.find_elements(By.CSS_SELECTOR, "#classes [aria-sort]")) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_no_screen_width_needs_horizontal_scrolling(report, width):
    _expect_no_sideways_scroll(report, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_search_page_needs_no_horizontal_scrolling(search, width):
    _expect_no_sideways_scroll(search, width)


@pytest.mark.parametrize(("width", "beside"), [(1280, True), (390, False)])
def test_a_query_is_beside_its_results_or_above_them_on_a_phone(search, width, beside):
    _resize(search, width, dark=False)
    query, results = (
        search.find_element(By.CSS_SELECTOR, f".query {part}").rect
        for part in (".asked", ".results")
    )
    assert (query["x"] + query["width"] <= results["x"]) == beside
    assert (query["y"] + query["height"] <= results["y"]) != beside


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_a_screenshot_of_the_whole_report_is_taken(report, screenshots, width, dark):
    assert _take_screenshot(report, screenshots, width, dark=dark) > 1000


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_a_screenshot_of_the_whole_search_page_is_taken(search, screenshots, width, dark):
    assert _take_screenshot(search, screenshots, width, dark=dark) > 500


def _open(browser, page):
    _resize(browser, 1280, dark=False)
    if browser.current_url != page.as_uri():
        browser.get(page.as_uri())
    browser.page_name = page.parent.name
    return browser


def _expect_no_message_and_nothing_loaded(page):
    assert page.get_log("browser") == []
    loaded = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


def _expect_drawn(images):
    for image in images:
        assert image.get_property("complete")
        assert image.get_property("naturalWidth") > 0
        assert image.size["width"] > 0


def _expect_no_sideways_scroll(page, width):
    _resize(page, width, dark=False)
    element = "document.documentElement"
    assert page.execute_script(f"return {element}.clientWidth") == width
    assert page.execute_script(f"return {element}.scrollWidth") <= width


def _take_screenshot(page, folder, width, *, dark):
    """Saves a screenshot of the whole page, and returns its height in pixels."""
    _resize(page, width, dark=dark)
    height = page.execute_script("return document.documentElement.scrollHeight")
    _resize(page, width, dark=dark, height=height)
    page.refresh()  # a resized page may leave stale parts in the screenshot
    name = f"{page.page_name}-{width}{'-dark' if dark else ''}.png"
    assert page.save_screenshot(str(folder / name))
    return height


def _resize(browser, width, *, dark, height=900):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
