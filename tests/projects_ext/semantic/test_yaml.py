"""Segmentation by YAML is what a LazyConfig makes."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import CfgNode, LazyConfig, get_cfg, instantiate
from detectron2.modeling import build_model
from projects_ext import add_config
from projects_ext.checkpoint.key_map import discover
from projects_ext.engine import YamlTrainer
from projects_ext.semantic.key_map import KEY_MAP
from tests.projects_ext.semantic.models import record, with_procedural_weights
from tests.two_stage_parity import ROOT


def config(**semantic: Any) -> CfgNode:
    cfg = get_cfg()
    add_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "Segmentor"
    cfg.MODEL.BACKBONE.update(NAME="build_dilated_resnet_backbone", FREEZE_AT=0)
    cfg.MODEL.RESNETS.update(NORM="BN", STRIDE_IN_1X1=False, OUT_FEATURES=["res4", "res5"])
    cfg.MODEL.SEM_SEG_HEAD.update(
        NAME="GCHead", IN_FEATURES=["res5"], CONVS_DIM=512, NORM="BN", NUM_CLASSES=21
    )
    cfg.MODEL.PIXEL_MEAN = [123.675, 116.28, 103.53]
    cfg.MODEL.PIXEL_STD = [58.395, 57.12, 57.375]
    cfg.INPUT.FORMAT = "RGB"
    cfg.MODEL.SEMANTIC.merge_from_other_cfg(CfgNode(semantic))
    return cfg


def test_same_model() -> None:
    name = "gcnet_r50_d8_512x512_20k_voc12aug.py"
    lazy_config = LazyConfig.load(str(ROOT / "configs/gcnet/semantic" / name)).model
    lazy_config.backbone.stem.norm = "BN"
    by_name, lazy = build_model(config()), instantiate(lazy_config)
    assert str(by_name) == str(lazy)
    assert by_name.input_format == lazy.input_format
    by_name, lazy = with_procedural_weights(by_name).eval(), with_procedural_weights(lazy).eval()
    for one, other in zip(by_name.buffers(), lazy.buffers(), strict=True):
        assert torch.equal(one, other)
    with torch.no_grad():
        expected = lazy([record("a", 65, 97)])[0]["sem_seg"]
        torch.testing.assert_close(by_name([record("a", 65, 97)])[0]["sem_seg"], expected)
    for model in (by_name, lazy):
        model.train()
        for part in model.modules():
            if isinstance(part, nn.Dropout2d):
                part.p = 0.0
    given = [record("a"), record("b")]
    expected_losses = lazy(given)
    for key, value in by_name(given).items():
        torch.testing.assert_close(value, expected_losses[key])


def small(**semantic: Any) -> CfgNode:
    cfg = config(**semantic)
    cfg.MODEL.RESNETS.update(STEM_OUT_CHANNELS=16, RES2_OUT_CHANNELS=32)
    cfg.MODEL.SEM_SEG_HEAD.update(CONVS_DIM=16, NUM_CLASSES=5)
    return cfg


def test_other_keys_reach_the_model_and_it_runs() -> None:
    cfg = small(
        STEM="basic",
        DILATIONS=[1, 1, 1, 2],
        STRIDES=[1, 2, 2, 1],
        NUM_CONVS=1,
        CONCAT_INPUT=False,
        DROPOUT=0.3,
        ALIGN_CORNERS=True,
        LOSS={"NAME": "OHEMCrossEntropy", "CLASS_WEIGHTS": [1, 2, 1, 1, 1], "AVERAGE": "counted"},
        OHEM={"THRESHOLD": 0.0, "MIN_KEPT": 50},
        DICE_WEIGHT=3.0,
        AUXILIARY={"IN_FEATURE": "res3", "CONVS_DIM": 8, "NUM_CONVS": 2, "LOSS_WEIGHT": 0.2},
        INFERENCE={"CROP": [48, 48], "STRIDE": [32, 32], "ACCUMULATE_ON": "cpu"},
        MULTI_SCALE={"ENABLED": True, "SCALES": [1.0], "FLIP": True},
    )
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res5"]
    cfg.MODEL.SEM_SEG_HEAD.LOSS_WEIGHT = 2.0
    cfg.MODEL.GC_HEAD.update(RATIO=0.5, POOLING="avg", FUSIONS=["channel_mul"])
    model = build_model(cfg)
    assert KEY_MAP in discover(model)
    assert model.backbone.stem.conv1.kernel_size == (7, 7)
    assert model.backbone.output_shape()["res5"].stride == 16
    assert model.backbone.res5[1].conv2.dilation == (2, 2)
    head, auxiliary = model.sem_seg_head, model.auxiliary_head
    assert (len(head.convs), head.conv_cat, head.dropout.p) == (1, None, 0.3)
    assert head.context.mask is None
    assert head.context.channel_mul[0].out_channels == 8
    ohem, dice = head.criteria.values()
    assert (ohem.threshold, ohem.min_kept, ohem.weight, ohem.average) == (None, 50, 2.0, "counted")
    assert ohem.class_weights.tolist() == [1, 2, 1, 1, 1]
    assert dice.weight == 6.0
    assert [loss.weight for loss in auxiliary.criteria.values()] == pytest.approx([0.2, 0.6])
    assert len(auxiliary.convs) == 2
    assert auxiliary.align_corners
    with torch.no_grad():
        found = model.eval()([record()])[0]
    assert set(found) == {"sem_seg", "sem_seg_ms_flip"}
    assert model.inference.crop == (48, 48)
    losses = model.train()([record("a"), record("b")])
    assert set(losses) == {f"loss_{x}_{y}" for x in ("sem_seg", "aux") for y in ("ohem", "dice")}
    assert all(value.isfinite() for value in losses.values())


def test_plain_head_and_detectron2_s_meta_architecture() -> None:
    cfg = small(AUXILIARY={"ENABLED": False})
    cfg.MODEL.SEM_SEG_HEAD.NAME = "FCNHead"
    model = build_model(cfg)
    assert model.auxiliary_head is None
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    theirs = build_model(cfg).eval()
    theirs.load_state_dict(model.state_dict())
    with torch.no_grad():
        expected = model.eval()([record()])[0]["sem_seg"]
        torch.testing.assert_close(theirs([record()])[0]["sem_seg"], expected)


def test_the_trainer_builds_it() -> None:
    cfg = small()
    model = YamlTrainer.build_model(cfg)
    optimizer = YamlTrainer.build_optimizer(cfg, model)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(
        list(model.parameters())
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"STEM": "wide"}, r"MODEL\.SEMANTIC\.STEM is 'wide': give 'deep' or 'basic'"),
        ({"DILATIONS": [1, 2]}, "dilations has 2 entries"),
        ({"LOSS": {"NAME": "Focal"}}, r"LOSS\.NAME is 'Focal': give CrossEntropy or OHEM"),
        ({"AUXILIARY": {"IN_FEATURE": "res3"}}, r"AUXILIARY\.IN_FEATURE names res3, which the"),
    ],
)
def test_wrong_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(small(**change))


def test_several_features_are_refused() -> None:
    cfg = small()
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["res4", "res5"]
    with pytest.raises(ValueError, match="IN_FEATURES is .*: GCHead works on one feature map"):
        build_model(cfg)


def test_a_head_of_detectron2_s_is_refused() -> None:
    cfg = small()
    cfg.MODEL.SEM_SEG_HEAD.update(NAME="SemSegFPNHead", COMMON_STRIDE=8)
    with pytest.raises(ValueError, match="SemSegFPNHead is no head for a Segmentor"):
        build_model(cfg)
