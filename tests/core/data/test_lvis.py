"""LVIS: built-in metadata, and loading of a small made file (upstream needs the lvis package)."""

import json

import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_lvis_json, register_lvis_instances
from detectron2.data.datasets.lvis import get_lvis_instances_meta
from detectron2.data.detection_utils import get_fed_loss_cls_weights
from detectron2.structures import BoxMode


def write_lvis(path, **changes) -> str:
    """Two images; three classes, of which the third occurs nowhere."""
    images = [
        {"id": 9, "height": 40, "width": 50, "coco_url": "http://x.org/val2017/000009.jpg",
         "neg_category_ids": [2, 3], "not_exhaustive_category_ids": []},
        {"id": 4, "height": 60, "width": 50, "coco_url": "http://x.org/train2017/000004.jpg",
         "neg_category_ids": [3], "not_exhaustive_category_ids": [2]},
    ]  # fmt: skip
    annotations = [
        {"id": number, "image_id": image, "category_id": category, "bbox": [x, y, 10, 12],
         "area": 120, "segmentation": [[x, y, x + 10, y, x + 10, y + 12, x, y + 12]]}
        for number, image, category, x, y in [(1, 9, 1, 2, 3), (2, 4, 1, 20, 30), (3, 4, 2, 5, 6)]
    ]  # fmt: skip
    categories = [
        {"id": number, "name": name, "synonyms": [name, "x"], "frequency": frequency}
        for number, name, frequency in [(1, "cat", "f"), (3, "owl", "r"), (2, "dog", "c")]
    ]
    content = {"images": images, "annotations": annotations, "categories": categories, **changes}
    path.write_text(json.dumps(content))
    return str(path)


def test_builtin():
    for version, splits in (("v1", "train val test_dev test_challenge"), ("v0.5", "train val")):
        for split in splits.split():
            meta = MetadataCatalog.get(f"lvis_{version}_{split}")
            assert meta.evaluator_type == "lvis"
            assert f"lvis/lvis_{version}_" in meta.json_file
            assert meta.image_root.endswith("coco/")
    assert len(MetadataCatalog.get("lvis_v0.5_val_cocofied").thing_classes) == 80


def test_lvis_v1_classes():
    meta = get_lvis_instances_meta("lvis_v1_val")
    names = meta["thing_classes"]
    assert len(set(names)) == len(names) == 1203
    assert (names[0], names[1], names[1202]) == ("aerosol_can", "air_conditioner", "zucchini")
    assert "monitor_(computer_equipment) computer_monitor" in names
    assert meta["class_image_count"][2] == {"id": 3, "image_count": 1911}
    weights = get_fed_loss_cls_weights("lvis_v1_train", 0.5)
    assert weights.shape == (1203,)
    assert float(weights[0]) == 8.0  # 64 images
    assert float((weights**2).sum()) == pytest.approx(360952, rel=1e-5)


@pytest.mark.core_only("upstream loads with the lvis package, and only its own data sets by name")
def test_loading(tmp_path):
    path = write_lvis(tmp_path / "lvis.json")
    register_lvis_instances("test_lvis", {}, path, str(tmp_path / "coco"))
    first, second = DatasetCatalog.get("test_lvis")
    assert MetadataCatalog.get("test_lvis").thing_classes == ["cat", "dog", "owl"]
    DatasetCatalog.remove("test_lvis")
    MetadataCatalog.remove("test_lvis")
    assert first["file_name"] == str(tmp_path / "coco/train2017/000004.jpg")
    assert second["file_name"] == str(tmp_path / "coco/val2017/000009.jpg")
    assert (first["image_id"], first["height"], first["width"]) == (4, 60, 50)
    assert first["neg_category_ids"] == [3]
    assert first["not_exhaustive_category_ids"] == [2]
    assert [x["category_id"] for x in first["annotations"]] == [0, 1]
    annotation = load_lvis_json(path, "", None, ["area"])[1]["annotations"][0]
    assert annotation == {
        "bbox": [2, 3, 10, 12], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "area": 120,
        "segmentation": [[2, 3, 12, 3, 12, 15, 2, 15]],
    }  # fmt: skip


@pytest.mark.core_only("upstream loads with the lvis package")
def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="b.json"):
        load_lvis_json(str(tmp_path / "b.json"), "")
    short = [{"id": 1, "image_id": 4, "category_id": 1, "bbox": [], "segmentation": [[1, 2, 3, 4]]}]
    path = write_lvis(tmp_path / "a.json", annotations=short)
    with pytest.raises(AssertionError, match="three points"):
        load_lvis_json(path, "")
    path = write_lvis(tmp_path / "a.json", annotations=2 * short)
    with pytest.raises(AssertionError, match="not unique"):
        load_lvis_json(path, "")
