"""Objects in numbers."""

import numpy as np
import pytest

from detectron2.data import DatasetCatalog
from detectron2.structures import BoxMode
from projects_ext.data.statistics import count_objects
from projects_ext.errors import UserError


def annotation(box: list[float], label: int = 0, mode: BoxMode = BoxMode.XYXY_ABS, crowd: int = 0):
    return {"bbox": box, "bbox_mode": mode, "category_id": label, "iscrowd": crowd}


RECORDS = [
    {
        "file_name": "a.jpg",
        "height": 100,
        "width": 200,
        "annotations": [
            annotation([10, 20, 30, 40], 0, BoxMode.XYWH_ABS),
            annotation([0, 0, 100, 96], 1),
            annotation([0, 0, 5, 5], 1, crowd=1),
        ],
    },
    {"file_name": "b.jpg", "annotations": []},
    {"file_name": "c.jpg", "annotations": [annotation([0, 0, 10, 10], 0)]},
]


def test_figures_by_hand() -> None:
    data = count_objects(RECORDS, ["cat", "dog", "cow"])
    assert data.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 100, 96], [0, 0, 10, 10]]
    assert data.edges.tolist() == [[30, 40], [100, 96], [10, 10]]
    assert data.per_class.tolist() == [2, 1, 0]
    assert data.images_per_class.tolist() == [2, 1, 0]
    assert data.per_image.tolist() == [2, 0, 1]
    assert data.crowds.tolist() == [1, 0, 0]
    # 30 x 40 is medium, 100 x 96 large, 10 x 10 small.
    assert data.by_size.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert data.median_sides[1] == pytest.approx(9600**0.5)
    assert np.isnan(data.median_sides[2])
    assert data.relative_sides[0] == pytest.approx((1200 / 20000) ** 0.5)
    assert np.isnan(data.relative_sides[2])
    assert data.places.tolist() == [0, 1, 0]


def test_limits_of_sizes_are_cocos() -> None:
    boxes = [[0, 0, 32, 31.9], [0, 0, 32, 32], [0, 0, 96, 95.9], [0, 0, 96, 96]]
    record = {"file_name": "a", "annotations": [annotation(box) for box in boxes]}
    assert count_objects([record], ["x"]).by_size.tolist() == [[1, 2, 1]]


def test_classes_without_names_are_numbered() -> None:
    assert count_objects(RECORDS).classes == ("0", "1")


def test_no_objects_at_all() -> None:
    data = count_objects([{"file_name": "a.jpg"}], ["cat"])
    assert data.per_class.tolist() == data.per_image.tolist() == [0]
    assert data.by_size.tolist() == [[0, 0, 0]]
    assert data.images_per_class.tolist() == [0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (annotation([1, 2, 3, 4, 5]), "an annotation of a.jpg has the box"),
        ({"category_id": 0}, "an annotation of a.jpg has the box None"),
        (annotation([1, 2, 3, 4], 7), "an annotation of a.jpg has the category_id 7"),
    ],
)
def test_annotations_without_figures_are_named(wrong: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        count_objects([{"file_name": "a.jpg", "annotations": [wrong]}], ["x", "y"])


def test_official_annotations() -> None:
    data = count_objects(DatasetCatalog.get("coco_2017_val"))
    assert (len(data.files), len(data.labels), int(data.crowds.sum())) == (39, 409, 7)
    assert data.per_class.sum() == data.per_image.sum() == data.by_size.sum() == 409
