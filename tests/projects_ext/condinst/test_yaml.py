"""CondInst by YAML is what a LazyConfig makes."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import CfgNode, LazyConfig, get_cfg, instantiate
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from projects_ext import add_config
from projects_ext.checkpoint.key_map import discover
from projects_ext.condinst.key_map import KEY_MAP
from tests.small_systems import CONFIGS, image, record

LAZY = {False: "condinst_r50_fpn_ms_1x_original.py", True: "condinst_r50_fpn_ms_3x_sem.py"}


def config(**keys: Any) -> CfgNode:
    cfg = get_cfg()
    add_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "CondInst"
    cfg.MODEL.BACKBONE.NAME = "build_condinst_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.CONDINST.update(keys)
    return cfg


def lazy_model(semantic: bool) -> nn.Module:
    path = CONFIGS / "condinst" / LAZY[semantic]
    lazy = LazyConfig.load(str(path)).model
    lazy.selection.score_thresh = 0.0
    return instantiate(lazy)


@pytest.mark.parametrize("semantic", [False, True])
def test_same_model(semantic: bool) -> None:
    keys = {
        "SEMANTIC_LOSS": semantic, "SCORE_EXPONENT": 0.5, "SCORE_THRESH_TEST": 0.0,
        "CENTERNESS_FIRST": True, "MAX_MASKS": 500,
    }  # fmt: skip
    by_name, lazy = build_model(config(**keys)), lazy_model(semantic)
    assert (by_name.semantic_branch is not None) == semantic
    assert by_name.criterion == lazy.criterion
    assert by_name.selection == lazy.selection
    assert str(by_name.mask_head) == str(lazy.mask_head)
    assert by_name.input_format == lazy.input_format
    found, unexpected = lazy.load_state_dict(by_name.state_dict(), strict=False)
    assert unexpected == []
    assert all(name.endswith("num_batches_tracked") for name in found)
    with torch.no_grad():
        one, other = (
            model.eval()([{"image": image("a", 64, 64)}])[0]["instances"]
            for model in (by_name, lazy)
        )
    assert len(one) == len(other) > 0
    torch.testing.assert_close(one.scores, other.scores)
    assert torch.equal(one.pred_masks, other.pred_masks)


def test_other_keys_reach_the_model_and_it_runs() -> None:
    model = build_model(
        config(
            NUM_CLASSES=3, IN_FEATURES=["p3", "p4", "p5"], NUM_CONVS=1, MAX_MASKS=7,
            MASK_BRANCH=CfgNode(
                {
                    "IN_FEATURES": ["p3", "p4"], "CHANNELS": 32, "NUM_CONVS": 1,
                    "OUT_CHANNELS": 4, "NORM": "GN",
                }
            ),
            MASK_HEAD=CfgNode({"CHANNELS": 6, "OUT_STRIDE": 8, "SIZE_OF_INTEREST": 4}),
        )
    )  # fmt: skip
    assert KEY_MAP in discover(model)
    assert model.criterion.max_masks == 7
    assert model.mask_head.size_of_interest == 4
    assert model.strides == [8, 16, 32]
    assert model.head.controller.out_channels == model.mask_head.num_parameters == 6 * 6 + 36 + 19
    with EventStorage():
        losses = model.train()([record("a", height=64, width=64)])
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
