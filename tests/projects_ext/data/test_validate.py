"""COCO-format files with one mistake each."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from projects_ext.data import count_categories, register_coco_format
from projects_ext.data.coco import inspect
from projects_ext.errors import MissingFileError, UserError

Content = dict[str, Any]


def coco() -> Content:
    """Two images with three annotations, one of them a crowd, all right."""
    shape = {"segmentation": [[1, 1, 9, 1, 9, 9]], "bbox": [1, 1, 8, 8], "area": 32, "iscrowd": 0}
    crowd = {"size": [20, 30], "counts": [0, 600]}
    whole = {"segmentation": crowd, "bbox": [0, 0, 30, 20], "area": 600, "iscrowd": 1}
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 30, "height": 20},
            {"id": 2, "file_name": "b.png", "width": 30, "height": 20},
        ],
        "annotations": [
            {"id": 11, "image_id": 1, "category_id": 5, **shape},
            {"id": 12, "image_id": 2, "category_id": 7, **shape},
            {"id": 13, "image_id": 2, "category_id": 7, **whole},
        ],
        "categories": [{"id": 7, "name": "late"}, {"id": 5, "name": "early"}],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the two images that :func:`coco` names; only their presence matters here."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def register(folder: Path, content: Any, skip_invalid: bool = False) -> str:
    file = folder / "instances.json"
    file.write_text(json.dumps(content))
    return register_coco_format(str(file), str(folder), skip_invalid)


def annotation(**changes: Any) -> Callable[[Content], None]:
    """Changes the second annotation."""
    return lambda content: content["annotations"][1].update(changes)


def test_a_good_file_is_inspected_once(folder: Path) -> None:
    register(folder, coco())
    inspection = inspect(str(folder / "instances.json"))
    assert inspection.classes == ("early", "late")
    assert inspection.files == ("a.png", "b.png")
    assert inspection.findings == ()
    assert inspect(str(folder / "instances.json")) is inspection


def test_a_changed_file_is_read_again(folder: Path) -> None:
    register(folder, coco())
    content = coco()
    content["categories"].append({"id": 9, "name": "new"})
    (folder / "instances.json").write_text(json.dumps(content))
    assert count_categories(str(folder / "instances.json")) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (annotation(image_id=3), "annotation 12 of image 3 belongs to an image that the file"),
        (annotation(category_id=6), r"annotation 12 of image 2 \(b.png\) has the unknown category"),
        (annotation(bbox=[1, 2, 3]), r"has the bbox \[1, 2, 3\], which is not four numbers"),
        (annotation(bbox=[1, "2", 3, 4]), "which is not four numbers"),
        (annotation(bbox=[1, 2, 0, 4]), r"has the bbox \[1, 2, 0, 4\], which has no area"),
        (annotation(bbox=[1, 2, float("nan"), 4]), "which is not finite"),
        (annotation(segmentation=[[1, 1, 9, 1]]), "has a polygon of fewer than 3 points"),
        (annotation(segmentation=[[1, 1, 9, 1, 9, 9, 5]]), "has a polygon of fewer than 3 points"),
        (annotation(segmentation=[1, 1, 9, 1, 9, 9]), "neither a list of polygons nor an RLE"),
        (annotation(segmentation="x"), "neither a list of polygons nor an RLE"),
        (
            annotation(segmentation={"size": [30, 20], "counts": [0, 600]}),
            r"has an RLE of the size \[30, 20\], which is not its image's",
        ),
    ],
)
def test_a_wrong_annotation_is_named(
    change: Callable[[Content], None], message: str, folder: Path
) -> None:
    content = coco()
    change(content)
    with pytest.raises(UserError, match=rf"instances\.json: .*{message}") as error:
        register(folder, content)
    assert "more like it" not in str(error.value)
    assert "\n" not in str(error.value)


def test_all_cases_of_one_kind_are_counted(folder: Path) -> None:
    content = coco()
    for entry in content["annotations"]:
        entry["category_id"] = 0
    with pytest.raises(UserError, match="annotation 11 .* 0, and 2 more like it: correct it"):
        register(folder, content)


@pytest.mark.parametrize("change", [{"bbox": [5, 5, 0, 3]}, {"segmentation": [[1, 1, 9, 1]]}])
def test_what_detectron2_leaves_out_is_a_warning_by_choice(
    change: dict[str, Any], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = coco()
    annotation(**change)(content)
    with pytest.raises(UserError, match=r"or add data\.skip_invalid=True"):
        register(folder, content)
    logger = logging.getLogger("detectron2.projects_ext")
    logger.addHandler(caplog.handler)
    try:
        register(folder, content, skip_invalid=True)
    finally:
        logger.removeHandler(caplog.handler)
    assert "annotation 12 of image 2 (b.png)" in caplog.text
    assert "left out" in caplog.text


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        (
            "images",
            lambda e: e[0].pop("height"),
            "images with id 1 has no height, and .*a.png cannot be",
        ),
        ("images", lambda e: e[1].update(id=1), "2 images have the id 1: give each"),
        ("annotations", lambda e: e[0].pop("bbox"), "with id 11 of annotations has no bbox"),
        ("categories", lambda e: e[0].pop("name"), "with id 7 of categories has no name"),
        ("categories", lambda e: e.clear(), "has an empty list of categories"),
        ("images", lambda e: e.append("c.png"), "images must be a list of objects"),
    ],
)
def test_a_wrong_entry_is_named(
    key: str, change: Callable[[Any], Any], message: str, folder: Path
) -> None:
    content = coco()
    change(content[key])
    with pytest.raises(UserError, match=message):
        register(folder, content)


@pytest.mark.parametrize("content", [[], {"images": []}, "text", {"shapes": [], "version": "5"}])
def test_json_of_another_kind_is_refused(content: Any, folder: Path) -> None:
    with pytest.raises(UserError, match=r"instances\.json is not in COCO format: it has no"):
        register(folder, content)


def test_missing_images_are_counted_and_the_first_is_named(folder: Path) -> None:
    (folder / "b.png").unlink()
    content = coco()
    content["images"].append({"id": 3, "file_name": "no/c.png", "width": 3, "height": 2})
    with pytest.raises(MissingFileError, match=r"2 of the 3 images of .* the first is b\.png"):
        register(folder, content)


def test_no_annotations_at_all_is_no_problem_of_the_file(folder: Path) -> None:
    register(folder, {**coco(), "annotations": []})
