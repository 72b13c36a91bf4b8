"""Data sets named by paths."""

import json
from pathlib import Path

import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.data import count_categories, register_coco_format


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
