"""Panoptic data sets: built-in metadata as upstream's, and loading of small made ones."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_panoptic, register_coco_panoptic_separated
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES, _get_builtin_metadata
from detectron2.data.datasets.cityscapes_panoptic import load_cityscapes_panoptic

META = {
    "thing_dataset_id_to_contiguous_id": {7: 0},
    "stuff_dataset_id_to_contiguous_id": {3: 1},
    "stuff_classes": ["things", "grass"],
}
SEGMENTS = [{"id": 1, "category_id": 3, "area": 9}, {"id": 2, "category_id": 7, "area": 8}]


def digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


class TestBuiltin:
    def test_coco_classes(self):
        assert len(COCO_CATEGORIES) == 133
        assert digest(COCO_CATEGORIES) == "ee7864e693fe97a8"
        for kind, expected in (("separated", "9d94652e15f2f2d2"), ("standard", "680dbb271b6c2796")):
            meta = _get_builtin_metadata(f"coco_panoptic_{kind}")
            assert digest([sorted(meta.items())]) == expected

    @pytest.mark.parametrize("split", ["train", "val", "val_100"])
    def test_coco(self, split):
        name = f"coco_2017_{split}_panoptic"
        suffix = "val2017_100" if split == "val_100" else f"{split}2017"
        meta = MetadataCatalog.get(name)
        assert (meta.evaluator_type, meta.label_divisor) == ("coco_panoptic_seg", 1000)
        assert meta.panoptic_json.endswith(f"coco/annotations/panoptic_{suffix}.json")
        assert meta.panoptic_root.endswith(f"coco/panoptic_{suffix}")
        assert meta.json_file == MetadataCatalog.get(f"coco_2017_{split}").json_file
        assert len(meta.thing_classes) == len(meta.stuff_classes) == 133
        separated = MetadataCatalog.get(f"{name}_separated")
        assert separated.sem_seg_root.endswith(f"coco/panoptic_stuff_{suffix}")
        assert separated.stuff_classes[:2] == ["things", "banner"]
        assert len(separated.thing_classes) == 80
        assert MetadataCatalog.get(f"{name}_stuffonly").evaluator_type == "sem_seg"
        names = {name, f"{name}_separated", f"{name}_stuffonly"}
        assert names <= set(DatasetCatalog.list())

    def test_cityscapes(self):
        meta = MetadataCatalog.get("cityscapes_fine_panoptic_val")
        assert (meta.evaluator_type, meta.ignore_label) == ("cityscapes_panoptic_seg", 255)
        assert meta.panoptic_root.endswith("cityscapes/gtFine/cityscapes_panoptic_val")
        assert meta.gt_dir.endswith("cityscapes/gtFine/val")
        assert len(meta.stuff_classes) == 19
        assert meta.thing_dataset_id_to_contiguous_id[26] == 13
        assert meta.stuff_dataset_id_to_contiguous_id[7] == 0


@pytest.fixture
def coco(tmp_path):
    """Paths of images, of pngs, of label maps, and of the two json files."""
    for folder in ("images", "panoptic", "labels"):
        (tmp_path / folder).mkdir()
    picture = Image.fromarray(np.zeros((6, 8, 3), np.uint8))
    picture.save(tmp_path / "images/000000000004.jpg")
    picture.save(tmp_path / "panoptic/000000000004.png")
    picture.convert("L").save(tmp_path / "labels/000000000004.png")
    annotation = {"image_id": 4, "file_name": "000000000004.png", "segments_info": SEGMENTS}
    (tmp_path / "panoptic.json").write_text(json.dumps({"annotations": [annotation]}))
    image = {"id": 4, "file_name": "000000000004.jpg", "height": 6, "width": 8}
    box = {"id": 1, "image_id": 4, "category_id": 7, "bbox": [1, 1, 3, 3], "area": 9, "iscrowd": 0}
    instances = {
        "info": {},
        "images": [image],
        "annotations": [box],
        "categories": [{"id": 7, "name": "cat"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    paths = ("images", "panoptic", "labels", "panoptic.json", "instances.json")
    return [str(tmp_path / path) for path in paths]


@pytest.fixture
def registered():
    """Names that are taken out of the catalogs after the test."""
    names: list[str] = []
    yield names
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_loading_coco(coco, registered):
    images, pngs, _, panoptic_json, instances_json = coco
    register_coco_panoptic("toy_panoptic", META, images, pngs, panoptic_json, instances_json)
    registered.append("toy_panoptic")
    (record,) = DatasetCatalog.get("toy_panoptic")
    assert record == {
        "file_name": f"{images}/000000000004.jpg",
        "image_id": 4,
        "pan_seg_file_name": f"{pngs}/000000000004.png",
        "segments_info": [
            {"id": 1, "category_id": 1, "area": 9, "isthing": False},
            {"id": 2, "category_id": 0, "area": 8, "isthing": True},
        ],
    }
    assert MetadataCatalog.get("toy_panoptic").json_file == instances_json


def test_loading_coco_separated(coco, registered):
    images, pngs, labels, panoptic_json, instances_json = coco
    register_coco_panoptic_separated(
        "toy", META, images, pngs, panoptic_json, labels, instances_json
    )
    registered += ["toy_separated", "toy_stuffonly"]
    (record,) = DatasetCatalog.get("toy_separated")
    assert record["sem_seg_file_name"] == f"{labels}/000000000004.png"
    assert record["annotations"][0]["category_id"] == 0
    (label_map,) = DatasetCatalog.get("toy_stuffonly")
    assert label_map["sem_seg_file_name"] == record["sem_seg_file_name"]
    assert MetadataCatalog.get("toy_stuffonly").stuff_classes == ["things", "grass"]


@pytest.mark.core_only(reason="sentences of core's own")
def test_wrong_coco_files_are_named(coco, registered):
    images, pngs, _, panoptic_json, _ = coco
    for name, meta, folder, error, message in (
        (
            "toy_a",
            {**META, "stuff_dataset_id_to_contiguous_id": {}},
            images,
            ValueError,
            "category 3",
        ),
        ("toy_b", META, f"{images}_", FileNotFoundError, "images_/000000000004.jpg"),
    ):
        register_coco_panoptic(name, meta, folder, pngs, panoptic_json)
        registered.append(name)
        with pytest.raises(error, match=message):
            DatasetCatalog.get(name)


def test_loading_cityscapes(tmp_path):
    images, labels = tmp_path / "leftImg8bit/val", tmp_path / "gtFine/val"
    pngs = tmp_path / "gtFine/cityscapes_panoptic_val"
    stem, picture = "ulm_000001_000019", Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    for folder, name in (
        (images / "ulm", f"{stem}_leftImg8bit.png"),
        (labels / "ulm", f"{stem}_gtFine_labelTrainIds.png"),
        (pngs, f"{stem}_gtFine_panoptic.png"),
    ):
        folder.mkdir(parents=True)
        picture.save(folder / name)
    annotation = {"image_id": stem, "file_name": f"{stem}_gtFine_panoptic.png"}
    content = {"annotations": [{**annotation, "segments_info": SEGMENTS}]}
    json_file = tmp_path / "panoptic.json"
    json_file.write_text(json.dumps(content))
    (record,) = load_cityscapes_panoptic(str(images), str(pngs), str(json_file), META)
    assert record["image_id"] == stem
    assert record["file_name"] == str(images / f"ulm/{stem}_leftImg8bit.png")
    assert record["sem_seg_file_name"] == str(labels / f"ulm/{stem}_gtFine_labelTrainIds.png")
    assert record["pan_seg_file_name"] == str(pngs / f"{stem}_gtFine_panoptic.png")
    assert [x["category_id"] for x in record["segments_info"]] == [1, 0]
