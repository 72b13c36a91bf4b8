"""Two folders and a list of classes are a data set."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from projects_ext.data import count_classes, register_label_folders, require_class_count
from projects_ext.data.label_folders import load_classes
from projects_ext.errors import MissingFileError, UserError
from tests.golden_files import DATA
from tests.semantic_trees import blocks, write_image, write_png

CLASSES = ["a", "b", "c"]


def folders(root: Path) -> tuple[str, str]:
    """Three images, one of them in a folder within, with label maps."""
    for index, name in enumerate(("one.jpg", "two.png", "town/three.jpg")):
        write_image(root / "images" / name, index)
        write_png((root / "labels" / name).with_suffix(".png"), blocks([0, 1, 2, 255], index))
    return str(root / "images"), str(root / "labels")


def test_a_registered_pair_of_folders(tmp_path: Path) -> None:
    images, labels = folders(tmp_path)
    name = register_label_folders(images, labels, CLASSES)
    assert register_label_folders(images, labels, CLASSES) == name
    records = get_detection_dataset_dicts(name)
    assert [Path(record["file_name"]).name for record in records] == [
        "one.jpg",
        "three.jpg",
        "two.png",
    ]
    assert records[1]["sem_seg_file_name"].endswith("labels/town/three.png")
    assert {(record["height"], record["width"]) for record in records} == {(48, 80)}
    metadata = MetadataCatalog.get(name)
    assert metadata.stuff_classes == CLASSES
    assert (metadata.ignore_label, metadata.evaluator_type) == (255, "sem_seg")
    # Other names for the same files replace the first ones.
    assert register_label_folders(images, labels, ["x", "y", "z"]) == name
    assert MetadataCatalog.get(name).stuff_classes == ["x", "y", "z"]
    assert DatasetCatalog.list().count(name) == 1


def test_photographs_of_coco() -> None:
    """More label maps than images are here: that is said; the classes come from a file."""
    where = DATA / "coco_semseg"
    classes = f"{where}/classes.json:labels_supercategory"
    assert count_classes(classes) == 13
    with pytest.raises(MissingFileError, match="34 of the 36 label maps in .* have no image"):
        register_label_folders(
            str(where / "images/val"), str(where / "labels_supercategory/val"), classes
        )


def test_images_without_labels_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = folders(tmp_path)
    write_image(Path(images) / "four.jpg", 4)
    logger = logging.getLogger("detectron2.projects_ext")
    logger.addHandler(caplog.handler)
    try:
        name = register_label_folders(images, labels, CLASSES)
    finally:
        logger.removeHandler(caplog.handler)
    assert len(DatasetCatalog.get(name)) == 3
    assert "1 images in" in caplog.text
    assert "have no label map and are left out" in caplog.text


def test_labels_beyond_the_classes_stop_the_run(tmp_path: Path) -> None:
    images, labels = folders(tmp_path)
    with pytest.raises(UserError, match=r"one\.png has the labels 2 \(\d+ pixels\), but the 2 cl"):
        register_label_folders(images, labels, CLASSES[:2])


def test_empty_and_wrong_paths_say_what_to_give(tmp_path: Path) -> None:
    images, labels = folders(tmp_path)
    with pytest.raises(UserError, match=r"add data\.train_images and data\.val_images"):
        register_label_folders("", labels, CLASSES)
    with pytest.raises(UserError, match=r"add data\.train_labels and data\.val_labels"):
        register_label_folders(images, "", CLASSES)
    with pytest.raises(MissingFileError, match="no folder of labels at .*nowhere"):
        register_label_folders(images, str(tmp_path / "nowhere"), CLASSES)
    with pytest.raises(MissingFileError, match=r"prepare_shapes\.py"):
        register_label_folders(str(tmp_path / "shapes" / "train"), labels, CLASSES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no \*\.png"):
        register_label_folders(images, str(tmp_path / "empty"), CLASSES)
    write_image(Path(images) / "one.png", 0)
    with pytest.raises(UserError, match="differ in their suffix only"):
        register_label_folders(images, labels, CLASSES)


def test_class_names_from_files(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("road\n\n traffic light \n")
    assert load_classes(f"{tmp_path}/names.txt") == ["road", "traffic light"]
    (tmp_path / "names.json").write_text(json.dumps(CLASSES))
    assert load_classes(f"{tmp_path}/names.json") == CLASSES
    (tmp_path / "both.json").write_text(json.dumps({"coarse": ["a"], "fine": CLASSES}))
    assert count_classes(f"{tmp_path}/both.json:fine") == 3
    with pytest.raises(UserError, match="a list under one of coarse, fine"):
        load_classes(f"{tmp_path}/both.json")
    (tmp_path / "broken.json").write_text("[")
    with pytest.raises(UserError, match=r"broken\.json is not valid json"):
        load_classes(f"{tmp_path}/broken.json")
    with pytest.raises(MissingFileError, match="no file of class names at"):
        load_classes(f"{tmp_path}/nothing.txt")
    with pytest.raises(UserError, match=r"add data\.classes=\[name,name,…\]"):
        load_classes("")


def test_class_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names the class a twice"):
        load_classes(["a", "b", "a"])
    with pytest.raises(UserError, match="has 256 classes: give 1 to 255 names"):
        load_classes([str(index) for index in range(256)])
    with pytest.raises(UserError, match="has 0 classes"):
        load_classes([])


class Segmentor(nn.Module):
    """What the class count of a semantic head is told by."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.sem_seg_head = nn.Module()
        self.sem_seg_head.predictor = nn.Conv2d(4, classes, 1)


def test_another_class_count_of_the_model_is_refused(tmp_path: Path) -> None:
    name = register_label_folders(*folders(tmp_path), CLASSES)
    require_class_count(Segmentor(3), name)
    with pytest.raises(UserError, match=r"model\.sem_seg_head\.num_classes is 4, but .* has 3"):
        require_class_count(Segmentor(4), name)


def test_shapes_have_label_maps(shapes: Path) -> None:
    classes = ["background", "disc", "box", "triangle", "star", "cross"]
    name = register_label_folders(str(shapes / "train"), str(shapes / "labels/train"), classes)
    records = DatasetCatalog.get(name)
    assert len(records) == 10
    assert all(np.array(record["height"]) % 16 == 0 for record in records)
