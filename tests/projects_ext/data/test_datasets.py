"""Data sets named by paths."""

import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.datasets import register_coco_instances
from projects_ext.data import (
    count_categories,
    dataset_errors,
    register_coco_format,
    require_class_count,
)
from projects_ext.errors import UserError


def test_registering_twice_gives_one_usable_name(shapes: Path) -> None:
    json_file, images = str(shapes / "annotations" / "instances_val.json"), str(shapes / "val")
    name = register_coco_format(json_file, images)
    assert register_coco_format(json_file, images) == name
    assert DatasetCatalog.list().count(name) == 1
    records = DatasetCatalog.get(name)
    assert len(records) == 4
    assert MetadataCatalog.get(name).thing_classes == ["disc", "box", "triangle", "star", "cross"]
    assert count_categories(json_file) == 5


def test_empty_paths_say_what_to_give(shapes: Path) -> None:
    with pytest.raises(ValueError, match=r"add data\.train_json=… and data\.val_json=…"):
        count_categories("")
    with pytest.raises(ValueError, match=r"add data\.train_images=… and data\.val_images=…"):
        register_coco_format(str(shapes / "annotations" / "instances_val.json"), "")


def test_missing_paths_are_named(shapes: Path, tmp_path: Path) -> None:
    missing = tmp_path / "nothing.json"
    with pytest.raises(FileNotFoundError, match="no annotation file at .*nothing.json"):
        count_categories(str(missing))
    with pytest.raises(FileNotFoundError, match="prepare_shapes.py"):
        count_categories(str(tmp_path / "shapes" / "instances.json"))
    json_file = str(shapes / "annotations" / "instances_val.json")
    with pytest.raises(FileNotFoundError, match="no folder of images at .*nowhere"):
        register_coco_format(json_file, str(tmp_path / "nowhere"))


def test_a_file_that_is_not_coco_is_refused(tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.json", tmp_path / "other.json"
    broken.write_text('{"images": [')
    other.write_text(json.dumps({"images": []}))
    with pytest.raises(ValueError, match="broken.json is not valid json"):
        count_categories(str(broken))
    with pytest.raises(ValueError, match="no annotations and no categories"):
        count_categories(str(other))


class Heads(nn.Module):
    """A model of which two parts count classes, the outer one deciding."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.roi_heads = nn.Module()
        self.roi_heads.num_classes = num_classes
        self.roi_heads.predictor = nn.Module()
        self.roi_heads.predictor.num_classes = 1  # class-agnostic
        self.sem_seg_head = nn.Module()
        self.sem_seg_head.num_classes = 54


@pytest.mark.parametrize("num_classes", [4, 6])
def test_another_class_count_is_refused_with_the_key(num_classes: int, shapes: Path) -> None:
    name = register_coco_format(
        str(shapes / "annotations" / "instances_val.json"), str(shapes / "val")
    )
    require_class_count(Heads(5), [name])
    require_class_count(nn.Linear(1, 1), name)
    message = (
        rf"model\.roi_heads\.num_classes is {num_classes}, but .* has 5 categories \(disc, box, "
        r"triangle, …\): set model\.roi_heads\.num_classes=5"
    )
    with pytest.raises(UserError, match=message):
        require_class_count(Heads(num_classes), name)


def test_data_sets_that_nothing_is_left_of_are_named(tmp_path: Path) -> None:
    file = tmp_path / "crowds.json"
    image = {"id": 1, "file_name": "a.png", "width": 30, "height": 20}
    crowd = {"size": [20, 30], "counts": [0, 600]}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 30, 20], "area": 600}
    file.write_text(
        json.dumps(
            {
                "images": [image],
                "annotations": [{**annotation, "iscrowd": 1, "segmentation": crowd}],
                "categories": [{"id": 1, "name": "only"}],
            }
        )
    )
    (tmp_path / "a.png").write_bytes(b"")
    name = register_coco_format(str(file), str(tmp_path))
    with (
        pytest.raises(UserError, match=r"crowds\.json.*: none of its images has an annotation"),
        dataset_errors(),
    ):
        get_detection_dataset_dicts(name)
    with dataset_errors():
        assert len(get_detection_dataset_dicts(name, filter_empty=False)) == 1


def test_an_empty_data_set_is_named() -> None:
    DatasetCatalog.register("test_an_empty_data_set", list)
    with (
        pytest.raises(UserError, match="'test_an_empty_data_set' is empty: add images"),
        dataset_errors(),
    ):
        get_detection_dataset_dicts("test_an_empty_data_set")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "the config names no data set: give dataloader.train.dataset.names"),
        ("coco_2017_trian", "there is no data set coco_2017_trian: did you mean coco_2017_tra"),
        ("zzzz", "there is no data set zzzz: correct its name, or register it"),
        ("test_nowhere", "no such file: set the environment variable DETECTRON2_DATASETS"),
    ],
)
def test_data_sets_that_are_not_there(names: Any, message: str, tmp_path: Path) -> None:
    if "test_nowhere" not in DatasetCatalog.list():
        file = str(tmp_path / "nowhere.json")
        register_coco_instances("test_nowhere", {}, file, str(tmp_path))
    with pytest.raises(UserError, match=message), dataset_errors():
        get_detection_dataset_dicts(names)


def test_other_errors_come_through() -> None:
    with pytest.raises(ValueError, match="something else") as error, dataset_errors():
        raise ValueError("something else")
    assert not isinstance(error.value, UserError)
