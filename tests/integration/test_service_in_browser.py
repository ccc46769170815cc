"""Tests the page of the search service in headless Chromium.

Requires selenium, Chromium and its driver (Debian: chromium, chromium-driver). Screenshots are
saved to the folder $HASHNET_SCREENSHOTS, or to a temporary folder if it is not set.
"""

import os
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

import hashnet_jax
from hashnet_jax.index.service import Limits, Service, create_app
from tests.support.browser import resize, start_browser
from tests.support.cli_case import make_pictures
from tests.support.live_service import make_store, running, wait_until

# Drops the file that was chosen in an input element, which this script adds to the page.
DROP = """
const data = new DataTransfer();
data.items.add(arguments[0].files[0]);
const options = {dataTransfer: data, bubbles: true, cancelable: true};
for (const type of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(type, options));
"""
PASTE = """
const data = new DataTransfer();
data.items.add(arguments[0].files[0]);
document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
"""
ADD_INPUT = """
const input = document.createElement("input");
input.type = "file";
document.body.append(input);
return input;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A running service for 40 pictures."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "run").mkdir()
    spec = hashnet_jax.ModelSpec("small_cnn", bits=32, image_size=16, resize=16)
    params = hashnet_jax.init(jax.random.key(0), spec)
    hashnet_jax.save(folder / "run", params)
    pictures = sorted(make_pictures(folder / "pictures", 40, (120, 90)).iterdir())
    make_store(folder / "store", folder / "run", pictures, [f"label {i % 3}" for i in range(40)])
    (folder / "no picture.txt").write_text("This is not a picture.\n")
    service = Service(params, folder / "store", limits=Limits())
    with running(create_app(service)) as url:
        wait_until(lambda: service.ready)
        yield SimpleNamespace(url=url, pictures=pictures, text=folder / "no picture.txt")


@pytest.fixture
def page(browser, made):
    """The browser with the page open, and no message in its console at the end."""
    resize(browser, 1280)
    browser.get(f"{made.url}/")
    wait_for_tiles(browser, 24)
    yield browser
    assert browser.get_log("browser") == []


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    given = os.environ.get("HASHNET_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tiles(page):
    return page.find_elements(By.CSS_SELECTOR, "#results li")


def names(page):
    return texts(page, ".name")


def texts(page, part):
    """The texts of a part of all results, read at one moment."""
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
    return page.execute_script(script, f"#results {part}")


def wait_for_tiles(page, number):
    drawn = (
        "return [...document.querySelectorAll('#results img')].filter(i => i.naturalWidth).length"
    )
    wait_until(lambda: page.execute_script(drawn) == number, 10)


def status(page):
    return page.find_element(By.ID, "status").text


def wait_for_search(page):
    wait_until(lambda: " ms" in status(page), 10)


def focused(page):
    return page.switch_to.active_element


def expect_results(page, picture):
    """Expects the nearest pictures in order of distance, with the query among the first."""
    wait_for_search(page)
    assert status(page).startswith("24 pictures of 40, in ")
    distances = [int(text.split()[0]) for text in texts(page, ".distance")]
    assert distances == sorted(distances)
    assert (distances[0], len(distances)) == (0, 24)
    assert picture.name in names(page)[: distances.count(0)]
    assert page.find_element(By.ID, "results-title").text == "Nearest pictures"


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_a_picture_is_searched_by_choosing_dropping_or_pasting_it(page, made, way):
    picture = made.pictures[7]
    if way == "choose":
        page.find_element(By.ID, "file").send_keys(str(picture))
    else:
        chosen = page.execute_script(ADD_INPUT)
        chosen.send_keys(str(picture))
        page.execute_script(DROP if way == "drop" else PASTE, chosen)
    expect_results(page, picture)
    preview = page.find_element(By.ID, "preview")
    assert preview.is_displayed()
    assert preview.get_attribute("alt") == "Your picture"


def test_a_picture_of_the_index_is_searched_by_clicking_it(page, made):
    name = names(page)[5]
    tiles(page)[5].find_element(By.TAG_NAME, "button").click()
    (picture,) = [one for one in made.pictures if one.name == name]
    expect_results(page, picture)
    own = tiles(page)[names(page).index(name)]
    assert own.find_element(By.CLASS_NAME, "same").is_displayed()
    page.refresh()  # the address names the picture
    expect_results(page, picture)


def test_the_back_button_shows_the_results_before(page, made):
    page.find_element(By.ID, "file").send_keys(str(made.pictures[3]))
    expect_results(page, made.pictures[3])
    first = names(page)
    tiles(page)[9].find_element(By.TAG_NAME, "button").click()
    wait_until(lambda: names(page) != first)
    page.back()
    wait_until(lambda: names(page) == first)
    page.back()
    wait_until(lambda: status(page) == "24 pictures drawn at random")


def test_the_page_is_used_by_keyboard_alone(page):
    def press(key):
        ActionChains(page).send_keys(key).perform()

    press(Keys.TAB)
    assert focused(page).text == "Skip to the pictures"
    press(Keys.TAB)
    assert focused(page).get_attribute("id") == "file"
    press(Keys.TAB)
    assert focused(page).get_attribute("id") == "k"
    press(Keys.TAB)
    assert focused(page).text == "Show others"
    before = names(page)
    press(Keys.ENTER)
    wait_until(lambda: names(page) != before)
    assert focused(page).get_attribute("id") == "results-title"
    press(Keys.TAB)
    press(Keys.TAB)
    assert focused(page).find_element(By.CLASS_NAME, "name").text == names(page)[0]
    press(Keys.ENTER)
    wait_for_search(page)
    assert texts(page, ".own .distance") == ["0 bits"]
    wait_until(lambda: focused(page).get_attribute("id") == "results-title")


def test_the_number_of_results_can_be_changed(page, made):
    page.find_element(By.ID, "file").send_keys(str(made.pictures[0]))
    expect_results(page, made.pictures[0])
    Select(page.find_element(By.ID, "k")).select_by_visible_text("12")
    wait_until(lambda: status(page).startswith("12 pictures of 40"))
    assert len(tiles(page)) == 12


def test_a_screen_reader_hears_the_result_and_knows_every_control(page):
    assert page.find_element(By.ID, "status").get_attribute("role") == "status"
    assert page.find_element(By.ID, "problem").get_attribute("role") == "alert"
    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if node["role"]["value"] in ("button", "combobox", "link") and not node["ignored"]
    ]
    assert len(controls) > 24
    assert all(name for _, name in controls), controls
    assert ("combobox", "Number of results") in controls
    assert any("Choose a picture" in name for _, name in controls)


def test_a_file_that_is_not_a_picture_is_refused_with_the_reason(browser, page, made):
    page.find_element(By.ID, "file").send_keys(str(made.text))
    problem = page.find_element(By.ID, "problem")
    wait_until(problem.is_displayed)
    assert problem.text.startswith("Not a picture in a supported format (JPEG, PNG")
    (message,) = browser.get_log("browser")  # Chromium reports every refused request
    assert "415" in message["message"]
    page.find_element(By.ID, "file").send_keys(str(made.pictures[1]))
    expect_results(page, made.pictures[1])
    assert not problem.is_displayed()


def test_nothing_is_loaded_from_elsewhere(page, made):
    page.find_element(By.ID, "file").send_keys(str(made.pictures[2]))
    expect_results(page, made.pictures[2])
    loaded = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert len(loaded) > 24
    assert [name for name in loaded if not name.startswith((made.url, "blob:", "data:"))] == []


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_screen_width_needs_horizontal_scrolling(page, made, width):
    resize(page, width)
    page.find_element(By.ID, "file").send_keys(str(made.pictures[2]))
    expect_results(page, made.pictures[2])
    for path in ("", "/api"):
        if path:
            page.get(made.url + path)
        assert page.execute_script("return document.documentElement.scrollWidth") <= width


def test_controls_are_large_enough_for_a_finger(page):
    resize(page, 390)
    for selector in ("#others", "#k", ".drop", "#results button"):
        size = page.find_element(By.CSS_SELECTOR, selector).size
        assert min(size["width"], size["height"]) >= 40, selector


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_screenshots_are_taken(page, made, screenshots, width, dark):
    resize(page, width, dark=dark)
    page.find_element(By.ID, "file").send_keys(str(made.pictures[2]))
    expect_results(page, made.pictures[2])
    wait_for_tiles(page, 24)
    background = page.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    assert background == ("rgba(23, 24, 26, 1)" if dark else "rgba(253, 252, 249, 1)")
    name = f"service-{width}{'-dark' if dark else ''}.png"
    assert page.save_screenshot(str(screenshots / name))
