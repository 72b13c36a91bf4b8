"""COCO files in and out, real ones and bad ones; folders of label maps."""

import copy
import json
import logging
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import (
    convert_to_coco_json,
    load_coco_json,
    load_sem_seg,
    register_coco_instances,
)
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.structures import BoxMode
from tests.golden_files import DATA

VAL_JSON = str(DATA / "coco/annotations/instances_val2017.json")
TRAIN_JSON = str(DATA / "coco/annotations/instances_train2017.json")


def toy_content():
    """Two images, two categories with a gap between their ids, three annotations."""
    polygon = [1.0, 1.0, 9.0, 1.0, 9.0, 9.0]
    rle = mask_util.encode(np.asfortranarray(np.tri(20, 30, dtype=np.uint8)))
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "height": 20, "width": 30},
            {"id": 3, "file_name": "a.jpg", "height": 20, "width": 30},
        ],
        "categories": [{"id": 9, "name": "nut"}, {"id": 4, "name": "fig"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "iscrowd": 0, "area": 32.0,
             "bbox": [1, 1, 8, 8], "segmentation": [polygon, [1, 1, 2, 2]]},
            {"id": 2, "image_id": 7, "category_id": 4, "iscrowd": 1, "area": 210.0,
             "bbox": [0, 0, 20, 20],
             "segmentation": {"size": [20, 30], "counts": rle["counts"].decode()}},
            {"id": 3, "image_id": 7, "category_id": 4, "bbox": [2, 2, 5, 5], "track": 12},
        ],
    }  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write_json(content):
        path = tmp_path / "toy.json"
        path.write_text(json.dumps(content))
        return str(path)

    return write_json


def test_real_file(catalogs):
    dicts = load_coco_json(VAL_JSON, "images", "toy_coco_val")
    content = json.loads(Path(VAL_JSON).read_text())
    assert [d["image_id"] for d in dicts] == sorted(i["id"] for i in content["images"])
    assert sum(len(d["annotations"]) for d in dicts) == 416
    assert sum(a["iscrowd"] for d in dicts for a in d["annotations"]) == 7
    meta = MetadataCatalog.get("toy_coco_val")
    assert len(meta.thing_classes) == 80
    assert meta.thing_classes[-1] == "toothbrush"
    assert meta.thing_dataset_id_to_contiguous_id[90] == 79
    by_id = {a["id"]: a for a in content["annotations"]}
    raw = load_coco_json(VAL_JSON, "images", extra_annotation_keys=["id"])
    for record, original in zip(dicts, raw, strict=True):
        for anno, kept in zip(record["annotations"], original["annotations"], strict=True):
            source = by_id[kept["id"]]
            assert kept["category_id"] == source["category_id"]
            mapped = meta.thing_dataset_id_to_contiguous_id[source["category_id"]]
            assert anno["category_id"] == mapped
            assert anno["bbox"] == source["bbox"]
            assert anno["bbox_mode"] == BoxMode.XYWH_ABS


def test_image_without_annotations_is_kept():
    dicts = {d["image_id"]: d for d in load_coco_json(TRAIN_JSON, "images")}
    assert dicts[508]["annotations"] == []
    assert dicts[508]["file_name"].endswith("images/000000000508.jpg")


def test_toy_file_without_info_and_licenses(catalogs, write):
    dicts = load_coco_json(write(toy_content()), "root", "toy", extra_annotation_keys=["track"])
    assert MetadataCatalog.get("toy").thing_classes == ["fig", "nut"]
    assert [(d["image_id"], d["file_name"], d["width"]) for d in dicts] == [
        (3, "root/a.jpg", 30), (7, "root/b.jpg", 30)]  # fmt: skip
    first, crowd, boxed = dicts[1]["annotations"]
    assert first["category_id"] == 1
    assert first["segmentation"] == [[1.0, 1.0, 9.0, 1.0, 9.0, 9.0]]  # the line is dropped
    assert crowd["iscrowd"] == 1
    assert mask_util.area(crowd["segmentation"]) == 210
    assert "segmentation" not in boxed
    assert boxed["track"] == 12


def test_uncompressed_rle_is_compressed(write):
    content = toy_content()
    content["annotations"][1]["segmentation"] = {"size": [20, 30], "counts": [100, 60, 440]}
    anno = load_coco_json(write(content), "")[1]["annotations"][1]
    assert mask_util.decode(anno["segmentation"]).sum() == 60


def test_annotations_without_a_valid_polygon_are_dropped(write, caplog):
    content = toy_content()
    content["annotations"][0]["segmentation"] = [[1, 1, 2, 2]]
    with caplog.at_level(logging.WARNING):
        dicts = load_coco_json(write(content), "")
    assert len(dicts[1]["annotations"]) == 2
    assert "1" in caplog.text


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c: c["annotations"][0].update(bbox=[]), ValueError, "bbox"),
        (lambda c: c["annotations"][1].update(id=1), AssertionError, "not unique"),
        (lambda c: c["annotations"][0].update(category_id=5), KeyError, "category_id=5"),
    ],
)
def test_bad_files_are_explained(catalogs, write, change, error, message):
    content = toy_content()
    change(content)
    with pytest.raises(error, match=message):
        load_coco_json(write(content), "", "toy")


@pytest.mark.core_only(reason="upstream raises from deep inside, or not at all")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("images"), "toy.json has no list 'images'"),
        (lambda c: c.pop("categories"), "toy.json has no list 'categories'"),
        (lambda c: c["images"][0].pop("height"), r"toy.json.*\['height'\]"),
        (lambda c: c["annotations"][0].pop("bbox"), "toy.json: annotation 1 of image 7.*bbox"),
        (lambda c: c["annotations"][0].update(ignore=1), "toy.json: annotation 1.*ignore"),
    ],
)
def test_incomplete_files_are_explained(catalogs, write, change, message):
    content = toy_content()
    change(content)
    with pytest.raises(ValueError, match=message):
        load_coco_json(write(content), "", "toy")


@pytest.mark.core_only(reason="upstream's message has no remedy")
def test_missing_or_broken_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.json.*DETECTRON2_DATASETS"):
        load_coco_json(str(tmp_path / "no.json"), "")
    (tmp_path / "half.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"half\.json is not a valid json"):
        load_coco_json(str(tmp_path / "half.json"), "")


def test_registration_is_lazy(catalogs, write):
    register_coco_instances("toy", {"keep": 1}, "no/such.json", "root")
    meta = MetadataCatalog.get("toy")
    assert (meta.evaluator_type, meta.json_file, meta.keep) == ("coco", "no/such.json", 1)
    register_coco_instances("toy2", {}, write(toy_content()), "root")
    assert len(DatasetCatalog.get("toy2")) == 2


def test_conversion_gives_back_the_original(catalogs, write):
    register_coco_instances("toy", {}, write(toy_content()), "")
    content = convert_to_coco_dict("toy")
    original = toy_content()
    assert [(c["id"], c["name"]) for c in content["categories"]] == [(4, "fig"), (9, "nut")]
    assert {i["id"] for i in content["images"]} == {3, 7}
    keys = ("image_id", "category_id", "bbox")
    for anno, source in zip(content["annotations"], original["annotations"], strict=True):
        assert {k: anno[k] for k in keys} == {k: source[k] for k in keys}
    areas = [anno["area"] for anno in content["annotations"]]
    assert areas == pytest.approx([32, 210, 25])


def test_converted_file_is_written_once_and_whole(catalogs, write, tmp_path):
    register_coco_instances("toy", {}, write(toy_content()), "")
    output = tmp_path / "out" / "toy_coco.json"
    convert_to_coco_json("toy", str(output))
    content = json.loads(output.read_text())
    assert len(content["annotations"]) == 3
    output.write_text("{}")
    convert_to_coco_json("toy", str(output))  # there already
    assert output.read_text() == "{}"
    convert_to_coco_json("toy", str(output), allow_cached=False)
    assert json.loads(output.read_text())["images"] == content["images"]
    assert not [p for p in output.parent.iterdir() if "tmp" in p.name]


@pytest.mark.core_only(reason="upstream leaves its temporary file")
def test_failed_conversion_leaves_no_file(catalogs, tmp_path):
    DatasetCatalog.register("toy", lambda: [{"file_name": "a"}])
    MetadataCatalog.get("toy").thing_classes = ["a"]
    output = tmp_path / "toy_coco.json"
    with pytest.raises(KeyError):
        convert_to_coco_json("toy", str(output))
    assert not [p for p in tmp_path.iterdir() if p.suffix in (".json", ".tmp")]


def test_records_are_not_changed_by_conversion(catalogs):
    record = {
        "file_name": "a", "height": 9, "width": 9, "image_id": 1,
        "annotations": [{"bbox": np.array([1.0, 1, 5, 6]), "bbox_mode": BoxMode.XYXY_ABS,
                         "category_id": 0, "segmentation": [np.array([1.0, 1, 5, 1, 5, 6])]}],
    }  # fmt: skip
    before = copy.deepcopy(record)
    DatasetCatalog.register("toy", lambda: [record])
    MetadataCatalog.get("toy").thing_classes = ["a"]
    (anno,) = convert_to_coco_dict("toy")["annotations"]
    assert anno["bbox"] == [1, 1, 4, 5]
    assert anno["area"] == pytest.approx(10)
    np.testing.assert_equal(record, before)


def test_sem_seg_pairs_by_name(tmp_path, caplog):
    for folder, names in (("images", ["b.jpg", "a.jpg", "c.jpg"]), ("labels", ["a.png", "b.png"])):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("L", (4, 3)).save(tmp_path / folder / name)
    with caplog.at_level(logging.WARNING):
        dicts = load_sem_seg(str(tmp_path / "labels"), str(tmp_path / "images"))
    assert [d["file_name"] for d in dicts] == [str(tmp_path / f"images/{n}.jpg") for n in "ab"]
    assert dicts[1]["sem_seg_file_name"] == str(tmp_path / "labels/b.png")
    assert caplog.records


@pytest.mark.core_only(reason="upstream asserts without a message")
def test_sem_seg_without_files_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        load_sem_seg(str(tmp_path), str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"\*\.(jpg|png)"):
        load_sem_seg(str(tmp_path), str(tmp_path))


def test_real_sem_seg():
    root = DATA / "coco_semseg"
    dicts = load_sem_seg(str(root / "labels_supercategory/val"), str(root / "images/val"))
    assert len(dicts) == 2
