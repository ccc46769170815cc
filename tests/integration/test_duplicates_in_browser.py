"""Tests the page of duplicates in headless Chromium: every width, light and dark, keyboard.

Requires selenium, Chromium and its driver. Screenshots are saved as in test_report_in_browser.py.
"""

import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hashnet_jax.report import DuplicateTile, write_duplicates_page
from tests.integration.test_report_in_browser import WIDTHS, browser, screenshots

__all__ = ["browser", "screenshots"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("duplicates")
    paths = []
    for number, size in enumerate([(300, 90), (90, 400), (640, 480)]):
        paths.append(str(folder / f"IMG_{number:04}_{'a_very_long_' * number}<b>name.png"))
        Image.new("RGB", size, (90 * number, 120, 60)).save(paths[-1])
    group = [
        DuplicateTile(paths[0], 0, 1, 0, True, None),
        DuplicateTile(paths[1], 1, 1, 4, True, None),
        DuplicateTile(paths[2], 2, None, None, False, None),
        DuplicateTile(str(folder / "gone.png"), 1, None, None, False, "no such file or directory"),
    ]
    write_duplicates_page(
        folder / "page.html", [group] * 3, searched=90, bits=48, radius=2, copy_bits=8
    )
    return (folder / "page.html").as_uri()


def show(browser, page, width, scheme="light"):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_every_screen_without_a_message_in_the_console(
    browser, screenshots, page, width, scheme
):
    browser.get_log("browser")
    show(browser, page, width, scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    pictures = browser.find_elements(By.TAG_NAME, "img")
    assert len(pictures) == 9
    drawn = "return arguments[0].complete && arguments[0].naturalWidth > 0"
    assert all(browser.execute_script(drawn, picture) for picture in pictures)
    assert browser.get_log("browser") == []
    browser.save_screenshot(str(screenshots / f"duplicates_{width}_{scheme}.png"))


def test_the_groups_are_reached_by_keyboard(browser, page):
    show(browser, page, 1280)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    skip = browser.switch_to.active_element
    assert skip.text == "Skip to the groups"
    assert skip.location["x"] >= 0, "it is visible while it has the focus"
    skip.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "groups"
    show(browser, page, 1280)
    for _ in range(3):  # past the first link, to the second group
        browser.switch_to.active_element.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.current_url.endswith("#group-2")
    assert browser.execute_script("return scrollY") > 0
