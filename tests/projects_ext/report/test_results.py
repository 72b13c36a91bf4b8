"""Files that cannot be used end in one sentence that names them."""

import json
from pathlib import Path
from typing import Any

import pytest

from projects_ext.errors import MissingFileError, UserError
from projects_ext.report.results import read_results

from .scenes import write_scene

BOX = (10.0, 10.0, 20.0, 20.0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    return write_scene(tmp_path, [(0, 0, BOX)], [(0, 0, BOX, 0.5)], masks=True)


def test_ids_are_numbered_without_gaps(files: tuple[Path, Path, Path]) -> None:
    results = read_results(*files)
    assert results.tasks == ("bbox", "segm")
    assert [one["id"] for one in results.objects] == [1]
    assert results.detections[0]["image_id"] == results.detections[0]["category_id"] == 1
    assert results.images[0].path.is_file()


def test_boxes_alone_are_compared_where_one_side_has_no_masks(tmp_path: Path) -> None:
    results, truth, images = write_scene(tmp_path, [(0, 0, BOX)], [(0, 0, BOX, 0.5)], masks=True)
    (one,) = json.loads(results.read_text())
    del one["segmentation"]
    results.write_text(json.dumps([one]))
    assert read_results(results, truth, images).tasks == ("bbox",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_id": 8}, "image_id 8"),
        ({"image_id": "7"}, "image_id 7"),
        ({"image_id": [7]}, "image_id"),
        ({"category_id": 1}, "category_id 1"),
        ({"score": None}, "score None"),
        ({"score": float("nan")}, "score nan"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [1, 2, 3, float("inf")]}, "bbox"),
        ({"segmentation": {"size": [100, 100], "counts": "abc"}}, "mask"),
        ({"segmentation": {"size": [10, 10], "counts": [100]}}, "mask"),
        ({"bbox": [9, 9, -3, 4]}, "negative width or height"),
        ({"segmentation": "x"}, "mask"),
    ],
)
def test_a_wrong_detection_is_refused(
    files: tuple[Path, Path, Path], change: dict[str, Any], said: str
) -> None:
    (one,) = json.loads(files[0].read_text())
    files[0].write_text(json.dumps([one | change]))
    with pytest.raises(UserError, match=r"results\.json.*detection") as caught:
        read_results(*files)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"image_id": 7}]', "[" * 100_000])
def test_a_file_that_holds_no_results_is_refused(files: tuple[Path, Path, Path], text: str) -> None:
    files[0].write_text(text)
    with pytest.raises(UserError, match=r"results\.json"):
        read_results(*files)


def test_some_detections_without_masks_are_refused(files: tuple[Path, Path, Path]) -> None:
    (one,) = json.loads(files[0].read_text())
    without = {key: value for key, value in one.items() if key != "segmentation"}
    files[0].write_text(json.dumps([one, without]))
    with pytest.raises(UserError, match="1 of 2 detections have no mask"):
        read_results(*files)


def test_a_missing_file_is_named(files: tuple[Path, Path, Path]) -> None:
    with pytest.raises(MissingFileError, match="nowhere.json"):
        read_results(files[0].with_name("nowhere.json"), files[1], files[2])
