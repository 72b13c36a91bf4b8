"""Backbones with global context by YAML are those that a LazyConfig makes."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, build_backbone, build_model
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicStem, ResNet
from projects_ext import add_config
from projects_ext.checkpoint.key_map import discover
from projects_ext.gcnet import make_stages
from projects_ext.gcnet.key_map import KEY_MAP
from projects_ext.layers import ContextBlock
from tests.procedural import procedural_noise, procedural_state

FEATURES = ["res2", "res3", "res4", "res5"]
COMMON = {"norm": "BN", "stride_in_1x1": False}
VARIANTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "as it is": ([], {}),
    "other blocks": (
        ["RATIO", 0.25, "POOLING", "avg", "FUSIONS", ["channel_mul", "channel_add"]],
        {"ratio": 0.25, "pooling": "avg", "fusions": ["channel_mul", "channel_add"]},
    ),
    "other stages": (
        ["ON_PER_STAGE", [True, False, False, True]],
        {"context_per_stage": [True, False, False, True]},
    ),
}


def config(*gc_block: Any, **resnets: Any) -> CfgNode:
    cfg = get_cfg()
    add_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = "build_gcnet_resnet_fpn_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.update(NORM="BN", STRIDE_IN_1X1=False, OUT_FEATURES=FEATURES, **resnets)
    cfg.MODEL.RESNETS.GC_BLOCK.merge_from_list(list(gc_block))
    cfg.MODEL.FPN.IN_FEATURES = FEATURES
    return cfg


def with_procedural_weights(model: nn.Module) -> nn.Module:
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    state = procedural_state(shapes, [("conv3.weight", 0.3)])
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return model.eval()


@pytest.mark.parametrize(
    ("gc_block", "options", "resnets", "more"),
    [
        *((*VARIANTS[name], {}, {}) for name in VARIANTS),
        (
            *VARIANTS["as it is"],
            {"NUM_GROUPS": 32, "WIDTH_PER_GROUP": 4},
            {"num_groups": 32, "width_per_group": 4},
        ),
        (
            *VARIANTS["as it is"],
            {"DEFORM_ON_PER_STAGE": [False, False, True, True]},
            {"deform_per_stage": [False, False, True, True]},
        ),
    ],
    ids=[*VARIANTS, "ResNeXt", "deformable"],
)
def test_same_names_and_outputs(gc_block: Any, options: Any, resnets: Any, more: Any) -> None:
    by_yaml = with_procedural_weights(build_backbone(config(*gc_block, **resnets)))
    by_hand = with_procedural_weights(
        FPN(
            bottom_up=ResNet(
                BasicStem(3, 64, norm="BN"),
                make_stages(50, **COMMON, **options, **more),
                out_features=FEATURES,
            ),
            in_features=FEATURES,
            out_channels=256,
            top_block=LastLevelMaxPool(),
        )
    )
    assert list(by_yaml.state_dict()) == list(by_hand.state_dict())
    x = procedural_noise("yaml", (1, 3, 64, 96))
    with torch.no_grad():
        expected = by_hand(x)
        for name, value in by_yaml(x).items():
            torch.testing.assert_close(value, expected[name])


def test_shallow_networks_have_context_too() -> None:
    cfg = config(DEPTH=18, RES2_OUT_CHANNELS=64)
    cfg.MODEL.BACKBONE.NAME = "build_gcnet_resnet_backbone"
    network = build_backbone(cfg, ShapeSpec(channels=3))
    found = [name for name, part in network.named_modules() if isinstance(part, ContextBlock)]
    assert found == [
        f"res{stage}.{block}.conv2.activation" for stage in (3, 4, 5) for block in (0, 1)
    ]


def test_frozen_stages_have_frozen_context() -> None:
    cfg = config()
    cfg.MODEL.BACKBONE.FREEZE_AT = 3
    network = build_backbone(cfg).bottom_up
    trained = {name.split(".")[0] for name, x in network.named_parameters() if x.requires_grad}
    assert trained == {"res4", "res5"}


def test_a_detector_finds_its_key_map_and_runs() -> None:
    cfg = config()
    cfg.MODEL.MASK_ON = False
    cfg.MODEL.ROI_HEADS.update(NAME="StandardROIHeads", IN_FEATURES=["p2", "p3", "p4", "p5"])
    cfg.MODEL.ROI_BOX_HEAD.update(NAME="FastRCNNConvFCHead", NUM_FC=1, FC_DIM=16)
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    model = build_model(cfg).eval()
    assert KEY_MAP in discover(model)
    with torch.no_grad():
        found = model([{"image": torch.zeros(3, 61, 83)}])
    assert "instances" in found[0]


def test_a_wrong_number_of_stages_is_named() -> None:
    with pytest.raises(ValueError, match=r"GC_BLOCK\.ON_PER_STAGE has 2 entries"):
        build_backbone(config("ON_PER_STAGE", [True, True]))
