"""CARAFE by YAML is what a LazyConfig makes."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import CfgNode, LazyConfig, get_cfg, instantiate
from detectron2.modeling import build_backbone, build_model
from detectron2.utils.events import EventStorage
from projects_ext import add_config
from projects_ext.carafe import CARAFEFPN, CARAFEMaskHead
from projects_ext.layers import ContextBlock
from tests.procedural import procedural_noise
from tests.small_systems import CONFIGS, image, record

LEVELS = ["p2", "p3", "p4", "p5", "p6"]
STAGES = ["res2", "res3", "res4", "res5"]
OTHER_KERNELS = {
    "kernel_size": 3, "groups": 2, "encoder_kernel": 1, "encoder_dilation": 2,
    "compressed_channels": 12,
}  # fmt: skip


def config(**carafe: Any) -> CfgNode:
    """Mask R-CNN R50-FPN on RGB images of unit variance."""
    cfg = get_cfg()
    add_config(cfg)
    model = cfg.MODEL
    model.DEVICE, model.MASK_ON = "cpu", True
    model.PIXEL_MEAN, model.PIXEL_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    model.BACKBONE.NAME = "build_carafe_fpn_backbone"
    model.RESNETS.update({"OUT_FEATURES": STAGES, "STRIDE_IN_1X1": False})
    model.FPN.IN_FEATURES = STAGES
    model.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    model.RPN.update({"IN_FEATURES": LEVELS, "POST_NMS_TOPK_TEST": 1000, "PRE_NMS_TOPK_TEST": 1000})
    model.ROI_HEADS.update({"NAME": "StandardROIHeads", "IN_FEATURES": LEVELS[:4]})
    model.ROI_BOX_HEAD.update({"NAME": "FastRCNNConvFCHead", "NUM_FC": 2, "POOLER_RESOLUTION": 7})
    model.ROI_MASK_HEAD.update({"NAME": "CARAFEMaskHead", "NUM_CONV": 4, "POOLER_RESOLUTION": 14})
    model.CARAFE.update(carafe)
    return cfg


def narrow(**carafe: Any) -> CfgNode:
    """The same on a small network."""
    cfg = config(**carafe)
    cfg.MODEL.RESNETS.update({"DEPTH": 18, "RES2_OUT_CHANNELS": 64, "NORM": "BN"})
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.FPN.OUT_CHANNELS = cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 16
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
    cfg.MODEL.ROI_MASK_HEAD.NUM_CONV = 1
    return cfg


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {k: v.shape for k, v in model.state_dict().items() if "num_batches" not in k}


def test_same_names_and_answers_as_the_lazy_config() -> None:
    torch.manual_seed(0)
    path = CONFIGS / "carafe" / "mask_rcnn_r50_fpn_carafe_1x.py"
    lazy = instantiate(LazyConfig.load(str(path)).model).eval()
    by_yaml = build_model(config()).eval()
    assert isinstance(by_yaml.backbone, CARAFEFPN)
    assert isinstance(by_yaml.roi_heads.mask_head, CARAFEMaskHead)
    assert shapes(lazy) == shapes(by_yaml)
    # Boxes that are found, and kernels that differ from place to place.
    with torch.no_grad():
        for name, value in lazy.named_parameters():
            if name.endswith("encoder.weight"):
                value.normal_(std=0.1)
        lazy.roi_heads.box_predictor.cls_score.bias[:3] = 5
    by_yaml.load_state_dict(lazy.state_dict(), strict=False)
    picture = image("yaml", 70, 90)
    with torch.no_grad():
        expected = lazy.backbone(lazy.preprocess_image([{"image": picture}]).tensor)
        for name, value in by_yaml.backbone(
            by_yaml.preprocess_image([{"image": picture}]).tensor
        ).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-4)
        one, other = (model([{"image": picture}])[0]["instances"] for model in (lazy, by_yaml))
    assert len(one) == len(other) == 100
    assert torch.equal(one.pred_classes, other.pred_classes)
    torch.testing.assert_close(one.pred_boxes.tensor, other.pred_boxes.tensor, atol=1e-2, rtol=0)
    assert (one.pred_masks != other.pred_masks).float().mean() < 1e-3


def test_every_key_is_read() -> None:
    cfg = narrow(**{name.upper(): value for name, value in OTHER_KERNELS.items()}, EXTRA_LEVELS=2)
    cfg.MODEL.FPN.FUSE_TYPE = "avg"
    model = build_backbone(cfg)
    assert list(model.output_shape()) == [*LEVELS, "p7"]
    assert len(model.upsamplers) == 5
    for part in model.upsamplers:
        assert part.compressor.weight.shape == (12, 16, 1, 1)
        assert part.encoder.weight.shape == (2 * 3 * 3 * 2 * 2, 12, 1, 1)
        assert part.encoder.dilation == (2, 2)
        assert (part.kernel_size, part.groups, part.scale) == (3, 2, 2)
    by_hand = CARAFEFPN(model.bottom_up, STAGES, 16, fuse_type="avg", extra_levels=2)
    by_hand.upsamplers = model.upsamplers
    by_hand.load_state_dict(model.state_dict())
    images = procedural_noise("images", (1, 3, 64, 96))
    with torch.no_grad():
        found, expected = model.eval()(images), by_hand.eval()(images)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_other_networks_below_by_name() -> None:
    cfg = narrow(BOTTOM_UP="build_gcnet_resnet_backbone")
    model = build_backbone(cfg)
    assert any(isinstance(part, ContextBlock) for part in model.bottom_up.modules())


@pytest.mark.parametrize("agnostic", [False, True])
def test_model_trains_and_detects(agnostic: bool) -> None:
    cfg = narrow(COMPRESSED_CHANNELS=4)
    cfg.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK = agnostic
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 8
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    model = build_model(cfg)
    assert model.roi_heads.mask_head.upsampler.compressor.out_channels == 4
    assert model.roi_heads.mask_head.predictor.out_channels == (1 if agnostic else 80)
    with EventStorage():
        losses = model.train()([record("a", height=64, width=64)])
    assert "loss_mask" in losses
    assert all(value.isfinite() for value in losses.values())
    with torch.no_grad():
        found = model.eval()([{"image": image("a", 50, 70)}])[0]["instances"]
    assert found.pred_masks.shape == (len(found), 50, 70)
