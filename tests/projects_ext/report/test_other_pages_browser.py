"""The pages of a data set and of an evaluation of label maps, in a real browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from projects_ext.data.statistics import count_label_maps, count_objects, find_oddities
from projects_ext.evaluation.label_maps import confusion
from projects_ext.evaluation.segmentation_records import SegmentationRecords
from projects_ext.report.command import main
from projects_ext.report.dataset_page import label_maps_page, objects_page
from projects_ext.report.page import write
from tests.semantic_trees import blocks, write_image, write_png

from .test_browser import keys, look, pytestmark  # noqa: F401  # skips without a browser

CLASSES = ["sky", "road", "a car with quite a long name"]
COLOURS = np.array([[0, 114, 178], [213, 94, 0], [0, 158, 115]], np.uint8)


def objects(folder: Path) -> Path:
    records = []
    for index in range(6):
        path = folder / f"{index}.jpg"
        write_image(path, index, (240, 320))
        boxes = [[10 + 20 * index, 30, 60 + 20 * index, 90], [5, 5, 7, 7]]
        records.append(
            {
                "file_name": str(path),
                "height": 240,
                "width": 320,
                "annotations": [
                    {"bbox": box, "bbox_mode": 0, "category_id": place}
                    for place, box in enumerate(boxes)
                ],
            }
        )
    data = count_objects(records, CLASSES)
    page = folder / "objects.html"
    return write(page, objects_page("a data set", data, find_oddities(data), records, page))


def semantic_records(folder: Path) -> list[dict[str, Any]]:
    records = []
    for index in range(5):
        image, labels = folder / f"{index}.jpg", folder / f"{index}.png"
        write_image(image, index, (96, 128))
        write_png(labels, blocks([0, 1, 2, 255], index, (96, 128)))
        records.append({"file_name": str(image), "sem_seg_file_name": str(labels)})
    return records


def label_maps(folder: Path) -> Path:
    data = count_label_maps(semantic_records(folder), CLASSES)
    page = folder / "labels.html"
    return write(page, label_maps_page("maps", data, data.oddities(), COLOURS, page))


def evaluation(folder: Path) -> Path:
    records = SegmentationRecords(CLASSES, COLOURS)
    for record in semantic_records(folder):
        truth = np.asarray(Image.open(record["sem_seg_file_name"]))
        predicted = np.where(truth == 255, 0, truth)
        predicted[:30] = 1
        matrix = confusion(predicted, np.minimum(truth, 3), 4)
        records.add(record["file_name"], record["sem_seg_file_name"], predicted, matrix)
    records.write(folder, "five images")
    main([str(folder / "sem_seg_report.json")])
    return folder / "report.html"


MAKERS = {"objects": objects, "label_maps": label_maps, "evaluation": evaluation}


@pytest.fixture(params=MAKERS)
def opened(request: pytest.FixtureRequest, browser: Any, tmp_path: Path) -> Any:
    look(browser, 1200, "light")
    browser.get(MAKERS[request.param](tmp_path).as_uri())
    return browser


def test_nothing_fails_on_any_screen(opened: Any) -> None:
    for width, scheme in ((1200, "light"), (1200, "dark"), (360, "dark"), (360, "light")):
        look(opened, width, scheme)
        # Wide tables scroll within themselves, the page does not.
        across = "return document.documentElement.scrollWidth"
        assert opened.execute_script(across) <= width
    assert opened.get_log("browser") == []
    broken = "return [...document.images].filter(x => x.complete && !x.naturalWidth).length"
    assert opened.execute_script(broken) == 0


def test_tables_sort_and_layers_switch(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    heading = opened.find_element("css selector", "#class-table th:first-child button")
    heading.send_keys(Keys.ENTER)
    rows = opened.find_elements("css selector", "#class-table tbody tr td:first-child")
    assert [row.text for row in rows] == sorted(CLASSES)
    switch = opened.find_element("css selector", "[data-switch]")
    layer = switch.get_attribute("data-switch")
    hidden = f"return document.querySelector('.gallery [data-layer={layer}]').hidden"
    hidden = hidden.replace(".hidden", ".hasAttribute('hidden')")
    before = opened.execute_script(hidden)
    switch.send_keys(Keys.SPACE)
    assert opened.execute_script(hidden) is not before


def test_images_enlarge_by_keyboard(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    gallery = opened.find_elements("css selector", ".gallery")[-1]
    gallery.find_element("css selector", ".frame").send_keys(Keys.ENTER)
    title = opened.find_element("id", "viewer-title")
    first = title.text
    assert first.endswith(".jpg")
    keys(opened, Keys.ARROW_RIGHT)
    assert title.text != first
    keys(opened, Keys.ESCAPE)
    assert not opened.find_element("id", "viewer").is_displayed()
