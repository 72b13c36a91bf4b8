"""The built-in data sets: names, class tables, paths; Cityscapes' loader on made images."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.builtin_meta import CITYSCAPES_CATEGORIES
from detectron2.data.datasets.cityscapes import load_cityscapes_instances, load_cityscapes_semantic
from detectron2.structures import BoxMode, polygons_to_bitmask


def test_names():
    names = set(DatasetCatalog.list())
    assert {"coco_2017_train", "coco_2017_val", "coco_2014_minival", "coco_2017_val_100"} <= names
    assert {f"ade20k_sem_seg_{split}" for split in ("train", "val")} <= names
    for split in ("train", "val", "test"):
        assert {f"cityscapes_fine_{t}_seg_{split}" for t in ("instance", "sem")} <= names


def test_coco_metadata():
    meta = MetadataCatalog.get("coco_2017_val")
    assert meta.evaluator_type == "coco"
    assert meta.json_file.endswith("coco/annotations/instances_val2017.json")
    assert len(meta.thing_classes) == len(meta.thing_colors) == len(set(meta.thing_classes)) == 80
    ids = meta.thing_dataset_id_to_contiguous_id
    assert list(ids.values()) == list(range(80))
    for coco_id, name in {1: "person", 13: "stop sign", 44: "bottle", 67: "dining table",
                          70: "toilet", 90: "toothbrush"}.items():  # fmt: skip
        assert meta.thing_classes[ids[coco_id]] == name


def test_cityscapes_metadata():
    meta = MetadataCatalog.get("cityscapes_fine_instance_seg_train")
    assert meta.evaluator_type == "cityscapes_instance"
    assert meta.thing_classes == [
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]  # fmt: skip
    semantic = MetadataCatalog.get("cityscapes_fine_sem_seg_val")
    assert (semantic.evaluator_type, semantic.ignore_label) == ("cityscapes_sem_seg", 255)
    assert len(semantic.stuff_classes) == 19
    car = CITYSCAPES_CATEGORIES[13]
    assert (car["id"], car["trainId"], car["color"]) == (26, 13, (0, 0, 142))


def test_ade20k_metadata():
    meta = MetadataCatalog.get("ade20k_sem_seg_val")
    assert len(meta.stuff_classes) == 150
    assert meta.stuff_classes[:2] == ["wall", "building"]
    assert meta.stuff_classes[6] == "road, route"
    assert meta.stuff_classes[149] == "flag"
    assert (meta.evaluator_type, meta.ignore_label) == ("sem_seg", 255)


def test_root_comes_from_the_environment():
    code = (
        "from detectron2.data import MetadataCatalog as M;"
        "print(M.get('coco_2017_val').image_root, M.get('ade20k_sem_seg_val').sem_seg_root)"
    )
    environment = {**os.environ, "DETECTRON2_DATASETS": "/some/where"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    ade = "/some/where/ADEChallengeData2016/annotations_detectron2/validation"
    assert out == ["/some/where/coco/val2017", ade]


@pytest.mark.core_only(reason="importing upstream loads these")
def test_import_is_light():
    code = (
        "import sys, detectron2.data;"
        "print([m for m in ('pycocotools.coco', 'matplotlib', 'cv2', 'cityscapesscripts')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    assert "Warning" not in out.stderr


@pytest.fixture
def cityscapes(tmp_path):
    """One image with a car partly behind a person, a group of bicycles, and a road."""
    images, labels = tmp_path / "leftImg8bit/val/ulm", tmp_path / "gtFine/val/ulm"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    Image.new("RGB", (64, 32)).save(images / "ulm_0_0_leftImg8bit.png")
    Image.new("L", (64, 32), 255).save(labels / "ulm_0_0_gtFine_labelTrainIds.png")

    def rectangle(x0, y0, x1, y1):
        return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]

    objects = [
        {"label": "road", "polygon": rectangle(0, 0, 63, 31)},
        {"label": "car", "polygon": rectangle(2, 4, 21, 13)},
        {"label": "bicyclegroup", "polygon": rectangle(40, 20, 59, 29)},
        {"label": "person", "polygon": rectangle(10, 0, 13, 19)},
        {"label": "person", "polygon": rectangle(30, 0, 33, 19)},
    ]
    content = {"imgWidth": 64, "imgHeight": 32, "objects": objects}
    (labels / "ulm_0_0_gtFine_polygons.json").write_text(json.dumps(content))
    ids = np.full((32, 64), 7, dtype=np.uint16)
    ids[4:14, 2:22] = 26000
    ids[20:30, 40:60] = 33
    ids[0:20, 10:14] = 24000
    ids[0:20, 30:34] = 24001
    Image.fromarray(ids).save(labels / "ulm_0_0_gtFine_instanceIds.png")
    return str(tmp_path / "leftImg8bit/val"), str(tmp_path / "gtFine/val"), ids


@pytest.mark.core_only(reason="upstream needs cityscapesscripts and shapely or OpenCV")
@pytest.mark.parametrize("from_json", [True, False])
@pytest.mark.parametrize("to_polygons", [True, False])
def test_cityscapes_instances(cityscapes, from_json, to_polygons):
    import pycocotools.mask as mask_util

    image_dir, gt_dir, ids = cityscapes
    (record,) = load_cityscapes_instances(image_dir, gt_dir, from_json, to_polygons)
    assert (record["height"], record["width"]) == (32, 64)
    expected = [(33, 7, 1, [40, 20, 60, 30]), (24000, 0, 0, [10, 0, 14, 20]),
                (24001, 0, 0, [30, 0, 34, 20]), (26000, 2, 0, [2, 4, 22, 14])]  # fmt: skip
    assert len(record["annotations"]) == 4
    for anno, (value, category, crowd, box) in zip(record["annotations"], expected, strict=True):
        assert (anno["category_id"], anno["iscrowd"], anno["bbox"]) == (category, crowd, box)
        assert anno["bbox_mode"] == BoxMode.XYXY_ABS
        segm = anno["segmentation"]
        if to_polygons:
            assert len(segm) == (2 if value == 26000 else 1)  # the person cuts the car in two
            mask = polygons_to_bitmask([np.array(p, dtype=np.float64) for p in segm], 32, 64)
        else:
            mask = mask_util.decode(segm).astype(bool)
        np.testing.assert_array_equal(mask, ids == value)


@pytest.mark.core_only(reason="upstream needs cityscapesscripts")
def test_cityscapes_semantic(cityscapes, tmp_path):
    image_dir, gt_dir, _ = cityscapes
    (record,) = load_cityscapes_semantic(image_dir, gt_dir)
    assert record["sem_seg_file_name"].endswith("ulm/ulm_0_0_gtFine_labelTrainIds.png")
    assert (record["height"], record["width"]) == (32, 64)
    os.remove(record["sem_seg_file_name"])
    with pytest.raises(FileNotFoundError, match="labelTrainIds.*cityscapesscripts"):
        load_cityscapes_semantic(image_dir, gt_dir)


@pytest.mark.core_only(reason="upstream has no such function")
def test_outlines_of_masks_with_holes_and_touching_corners():
    from detectron2.data.datasets.cityscapes import mask_to_polygons

    mask = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]])
    ring, dot = mask_to_polygons(mask, offset=(10, 20))
    assert ring == [10, 20, 13, 20, 13, 23, 10, 23]  # the hole is filled
    assert dot == [13, 23, 14, 23, 14, 24, 13, 24]
    assert mask_to_polygons(np.zeros((3, 3))) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ade20k_sem_seg_train", {"stuff_colors": [(120, 120, 120)] * 150}),
        ("cityscapes_fine_sem_seg_val", {"stuff_colors": [(1, 2, 3)] * 19}),
        ("cityscapes_fine_instance_seg_val", {"thing_colors": [(1, 2, 3)] * 8}),
    ],
)
def test_projects_may_set_colours_that_detectron2_leaves_open(name, values):
    meta = MetadataCatalog.get(name)
    try:
        meta.set(**values)
    finally:
        for key in values:
            delattr(meta, key)


def test_persons_have_keypoints_in_their_metadata():
    meta = MetadataCatalog.get("keypoints_coco_2017_val")
    assert meta.thing_classes == ["person"]
    assert meta.keypoint_names[:3] == ("nose", "left_eye", "right_eye")
    assert len(meta.keypoint_names) == 17
    assert meta.keypoint_flip_map[-1] == ("left_ankle", "right_ankle")
    assert meta.keypoint_connection_rules[0] == ("left_ear", "left_eye", (102, 204, 255))
    assert meta.json_file.endswith("coco/annotations/person_keypoints_val2017.json")
