"""DatasetMapper on real photographs."""

import copy

import numpy as np
import pytest
import torch

from detectron2.config import get_cfg
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.data.datasets import load_coco_json, load_sem_seg
from detectron2.structures import BitMasks, PolygonMasks
from tests.golden_files import DATA


@pytest.fixture(scope="module")
def records():
    json_file = str(DATA / "coco/annotations/instances_train2017.json")
    dicts = load_coco_json(json_file, str(DATA / "coco/train2017"), "toy_mapper_train")
    return {d["image_id"]: d for d in dicts}


def small_cfg(**options):
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MIN_SIZE_TRAIN = (160,)
    cfg.INPUT.MIN_SIZE_TEST = 160
    for key, value in options.items():
        setattr(cfg.INPUT, key, value)
    return cfg


def test_training_sample(records):
    record = records[204805]
    before = copy.deepcopy(record)
    np.random.seed(0)
    sample = DatasetMapper(small_cfg())(record)
    np.testing.assert_equal(record, before)  # the given dictionary stays as it is
    assert "annotations" not in sample
    assert sample["image"].dtype == torch.uint8
    assert min(sample["image"].shape[1:]) == 160
    assert (sample["height"], sample["width"]) == (record["height"], record["width"])
    instances = sample["instances"]
    used = [a for a in record["annotations"] if not a["iscrowd"]]
    assert len(used) < len(record["annotations"])  # the crowd is left out
    assert len(instances) == len(used)
    assert isinstance(instances.gt_masks, PolygonMasks)
    assert instances.image_size == tuple(sample["image"].shape[1:])
    tight = instances.gt_masks.get_bounding_boxes().tensor
    torch.testing.assert_close(instances.gt_boxes.tensor, tight, atol=1.0, rtol=0)


def test_flip_mirrors_image_and_boxes(records):
    record = records[401416]
    made = {}
    for prob in (0.0, 1.0):
        mapper = DatasetMapper(
            True, augmentations=[T.RandomFlip(prob)], image_format="RGB", use_instance_mask=True
        )
        made[prob] = mapper(record)
    assert torch.equal(made[0.0]["image"].flip(2), made[1.0]["image"])
    boxes, flipped = (made[p]["instances"].gt_boxes.tensor for p in (0.0, 1.0))
    torch.testing.assert_close(flipped[:, 0], record["width"] - boxes[:, 2])
    torch.testing.assert_close(flipped[:, [1, 3]], boxes[:, [1, 3]])


def test_inference_sample_has_no_annotations(records):
    sample = DatasetMapper(small_cfg(), is_train=False)(records[204805])
    assert "instances" not in sample
    assert "annotations" not in sample
    assert min(sample["image"].shape[1:]) == 160


def test_image_without_objects(records):
    sample = DatasetMapper(small_cfg())(records[508])
    assert len(sample["instances"]) == 0
    assert sample["instances"].gt_boxes.tensor.shape == (0, 4)


def test_gray_photograph_has_three_channels(records):
    assert DatasetMapper(small_cfg())(records[86])["image"].shape[0] == 3


@pytest.mark.parametrize("use_mask", [True, False])
def test_crop_with_bitmasks(records, use_mask):
    mapper = DatasetMapper(
        True,
        augmentations=[T.HFlipTransform(records[401416]["width"])],
        image_format="BGR",
        use_instance_mask=use_mask,
        instance_mask_format="bitmask",
        recompute_boxes=use_mask,
    )
    instances = mapper(records[401416])["instances"]
    assert instances.has("gt_masks") == use_mask
    if use_mask:
        assert isinstance(instances.gt_masks, BitMasks)
        assert torch.equal(
            instances.gt_boxes.tensor, instances.gt_masks.get_bounding_boxes().tensor
        )


@pytest.mark.core_only(reason="upstream needs the shapely package, and fails without objects")
@pytest.mark.parametrize("mask_format", ["polygon", "bitmask"])
def test_random_crops_recompute_boxes(records, mask_format):
    cfg = small_cfg(MASK_FORMAT=mask_format)
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.SIZE = [0.4, 0.4]
    mapper = DatasetMapper(cfg)
    assert mapper.recompute_boxes
    for seed in range(4):
        np.random.seed(seed)
        for record in records.values():
            instances = mapper(record)["instances"]
            if instances.has("gt_masks"):
                tight = instances.gt_masks.get_bounding_boxes().tensor
                torch.testing.assert_close(instances.gt_boxes.tensor, tight)


def test_semantic_labels_follow_the_image():
    root = DATA / "coco_semseg"
    dicts = load_sem_seg(str(root / "labels_supercategory/val"), str(root / "images/val"))
    mapper = DatasetMapper(
        True,
        augmentations=[T.RandomCrop("absolute", (100, 120)), T.RandomFlip()],
        image_format="RGB",
    )
    sample = mapper(dicts[0])
    assert sample["image"].shape == (3, 100, 120)
    assert sample["sem_seg"].shape == (100, 120)
    assert sample["sem_seg"].dtype == torch.int64
    assert "sem_seg_file_name" not in sample
    assert set(sample["sem_seg"].unique().tolist()) <= {*range(13), 255}


@pytest.mark.core_only(reason="upstream covers keypoints; its assertion has no message")
def test_arguments_that_cannot_be_used():
    with pytest.raises(NotImplementedError, match="keypoints"):
        DatasetMapper(True, augmentations=[], image_format="RGB", use_keypoint=True)
    with pytest.raises(ValueError, match="use_instance_mask"):
        DatasetMapper(True, augmentations=[], image_format="RGB", recompute_boxes=True)
