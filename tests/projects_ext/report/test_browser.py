"""A page in a real browser: sorting, switching, keys, a narrow screen, dark mode."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from projects_ext.report.command import main

from .scenes import CLASSES, random_scene, write_scene

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    results, truth, images = write_scene(folder, *random_scene(0, images=30), masks=True)
    main([str(results), "--truth", str(truth), "--images", str(images)])
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    profile = tmp_path_factory.mktemp("profile")
    for word in ("headless", "no-sandbox", "disable-gpu", f"user-data-dir={profile}"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, page: str) -> Any:
    """The page anew, on a wide and light screen."""
    look(browser, 1200, "light")
    browser.get(page)
    return browser


def look(browser: Any, width: int, scheme: str) -> None:
    """Set the screen's width in pixels, and what the reader prefers."""
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        # Or a click would miss what still moves.
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def keys(browser: Any, *pressed: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(*pressed).perform()


def column(browser: Any, table: str, place: int) -> list[str]:
    script = "return [...document.getElementById(arguments[0]).tBodies[0].rows]"
    script += ".map(row => row.cells[arguments[1]].textContent.trim())"
    return browser.execute_script(script, table, place)


def test_nothing_is_blocked_and_nothing_fails(opened: Any) -> None:
    assert opened.get_log("browser") == []
    loaded = "return performance.getEntriesByType('resource').map(x => x.name)"
    assert all(name.startswith("data:") for name in opened.execute_script(loaded))
    broken = "return [...document.images].filter(x => x.complete && !x.naturalWidth).length"
    assert opened.execute_script(broken) == 0


def test_tables_sort_by_mouse_and_by_keyboard(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    name, ap = opened.find_elements("css selector", "#class-table th button")[:2]
    ap.click()
    falling = [float(text) for text in column(opened, "class-table", 1)]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) == 3
    ap.send_keys(Keys.ENTER)
    assert [float(text) for text in column(opened, "class-table", 1)] == falling[::-1]
    header = "return arguments[0].parentElement.getAttribute('aria-sort')"
    assert opened.execute_script(header, ap) == "ascending"
    name.send_keys(Keys.SPACE)
    assert column(opened, "class-table", 0) == ["50 $x$ %", 'cat <b>&"', "dog's"]
    assert opened.execute_script(header, ap) is None


def test_layers_are_switched_on_and_off(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    visible = "return [...document.querySelectorAll('#worst [data-layer=' + arguments[0] + ']')]"
    visible += ".filter(x => getComputedStyle(x).display !== 'none').length"
    truth, predictions = opened.find_elements("css selector", "#worst [data-switch]")
    before = [opened.execute_script(visible, name) for name in ("truth", "predictions")]
    assert min(before) > 0
    truth.click()
    assert opened.execute_script(visible, "truth") == 0
    assert opened.execute_script(visible, "predictions") == before[1]
    assert truth.get_attribute("aria-pressed") == "false"
    truth.send_keys(Keys.SPACE)
    predictions.send_keys(Keys.ENTER)
    assert opened.execute_script(visible, "truth") == before[0]
    assert opened.execute_script(visible, "predictions") == 0


def cards(browser: Any, gallery: str) -> list[Any]:
    return browser.find_elements("css selector", f"#{gallery} .card:not([hidden])")


def test_a_class_is_chosen_from_its_row(opened: Any) -> None:
    assert len(cards(opened, "worst")) == 12
    opened.find_element("css selector", "#worst [data-more]").click()
    everything = cards(opened, "worst")
    assert len(everything) > 12
    button = opened.find_element("css selector", "#class-table td [data-show]")
    chosen = button.get_attribute("data-show")
    assert chosen in CLASSES
    opened.execute_script("scrollTo(0, 0)")  # or the contents would lie over it
    button.click()
    shown = cards(opened, "worst")
    assert 0 < len(shown) < len(everything)
    assert all(chosen in card.get_attribute("data-tags").encode().decode("unicode_escape")
               .replace('\\"', '"') for card in shown)  # fmt: skip
    select = opened.find_element("css selector", "#wrong [data-filter]")
    assert select.get_property("value") == chosen


def test_an_image_is_enlarged_and_left_by_keys(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.wait import WebDriverWait

    first, second = cards(opened, "worst")[:2]
    titles = [card.find_element("css selector", ".title").text for card in (first, second)]
    first.find_element("css selector", ".frame").send_keys(Keys.ENTER)
    viewer = opened.find_element("id", "viewer")
    title = opened.find_element("id", "viewer-title")
    assert viewer.get_attribute("open")
    assert title.text == titles[0]
    keys(opened, Keys.ARROW_RIGHT)
    assert title.text == titles[1]
    keys(opened, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)
    assert title.text == titles[1]
    keys(opened, Keys.ESCAPE)
    assert not viewer.get_attribute("open")
    frame = second.find_element("css selector", ".frame")
    WebDriverWait(opened, 10).until(lambda browser: browser.switch_to.active_element == frame)


def test_everything_is_reached_by_tab_with_a_visible_focus(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    keys(opened, Keys.TAB)
    assert opened.switch_to.active_element.text == "Skip to the content"
    for _ in range(3):
        keys(opened, Keys.TAB)
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert opened.execute_script(outline) == "solid"


def test_a_narrow_screen_does_not_scroll_sideways(opened: Any) -> None:
    look(opened, 360, "light")
    page = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    assert opened.execute_script(page) == 0
    assert opened.execute_script("return innerWidth") == 360


def test_larger_text_enlarges_everything(opened: Any) -> None:
    heights = []
    for size in ("100%", "200%"):
        opened.execute_script("document.documentElement.style.fontSize = arguments[0]", size)
        button = "return document.querySelector('#class-table th button').offsetHeight"
        heights.append(opened.execute_script(button))
    assert heights[1] >= 1.8 * heights[0]


def luminance(browser: Any, what: str) -> float:
    script = "return getComputedStyle(document.body)[arguments[0]].match(/[0-9.]+/g).map(Number)"
    red, green, blue = browser.execute_script(script, what)[:3]
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def test_dark_mode_follows_the_system_and_the_button(opened: Any) -> None:
    assert luminance(opened, "backgroundColor") > 0.9
    assert luminance(opened, "color") < 0.2
    look(opened, 1200, "dark")
    assert luminance(opened, "backgroundColor") < 0.1
    assert luminance(opened, "color") > 0.8
    axis = "return getComputedStyle(document.querySelector('.plot svg text')).fill"
    assert opened.execute_script(axis) != "rgb(0, 0, 0)"
    opened.find_element("id", "theme").click()
    assert luminance(opened, "backgroundColor") > 0.9
