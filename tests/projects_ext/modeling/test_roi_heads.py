"""Whole models by YAML whose RoI heads take their poolers from the registry."""

from typing import Any

import pytest
import torch

from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import CascadeROIHeads
from detectron2.utils.events import EventStorage
from projects_ext import add_config
from projects_ext.groie import GRoIEPooler
from tests.small_systems import CONFIGS, image, record

HEADS = ["RegisteredPoolersROIHeads", "RegisteredPoolersCascadeROIHeads"]


def model(heads: str, box: str = "GRoIEPooler", mask: str = "GRoIEPooler") -> Any:
    """A small Mask or Cascade Mask R-CNN for 80 classes."""
    cfg = get_cfg()
    add_config(cfg)
    cfg.merge_from_file(str(CONFIGS / "quickstart" / "mask_rcnn_shapes.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.ROI_HEADS.NAME = heads
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = "Cascade" in heads
    cfg.MODEL.ROI_BOX_HEAD.update(POOLER_NAME=box, POOLER_SAMPLING_RATIO=2)
    cfg.MODEL.ROI_MASK_HEAD.update(POOLER_NAME=mask, POOLER_SAMPLING_RATIO=2)
    torch.manual_seed(0)
    return build_model(cfg)


@pytest.mark.parametrize("heads", HEADS)
def test_a_model_with_groie_trains_and_detects(heads: str) -> None:
    built = model(heads)
    roi_heads = built.roi_heads
    assert isinstance(roi_heads, CascadeROIHeads) == ("Cascade" in heads)
    for pooler, size in ((roi_heads.box_pooler, 7), (roi_heads.mask_pooler, 14)):
        assert isinstance(pooler, GRoIEPooler)
        assert pooler.output_size == (size, size)
        assert pooler.scales == (1 / 4, 1 / 8, 1 / 16, 1 / 32)
    with EventStorage():
        losses = built.train()([record("a"), record("b", 0)])
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    assert roi_heads.box_pooler.pre_module.weight.grad.any()
    assert roi_heads.mask_pooler.post_module.gamma.grad.any()
    with torch.no_grad():
        found = built.eval()([{"image": image("c")}])[0]["instances"]
    assert len(found) > 0


def test_each_head_has_the_pooler_of_its_name() -> None:
    roi_heads = model(HEADS[0], box="ROIPooler").roi_heads
    assert isinstance(roi_heads.box_pooler, ROIPooler)
    assert isinstance(roi_heads.mask_pooler, GRoIEPooler)


def test_no_pooler_where_there_is_no_branch() -> None:
    cfg = get_cfg()
    add_config(cfg)
    cfg.MODEL.update(DEVICE="cpu", MASK_ON=False)
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    cfg.MODEL.ROI_HEADS.update(NAME=HEADS[0], IN_FEATURES=["p2", "p3"])
    cfg.MODEL.ROI_BOX_HEAD.update(NAME="FastRCNNConvFCHead", NUM_FC=1, FC_DIM=8)
    cfg.MODEL.ROI_BOX_HEAD.POOLER_NAME = "GRoIEPooler"
    roi_heads = build_model(cfg).roi_heads
    assert len(roi_heads.box_pooler.scales) == 2
    assert not roi_heads.mask_on
