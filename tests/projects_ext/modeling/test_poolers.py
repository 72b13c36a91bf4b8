"""RoI poolers by name."""

from typing import Any

import pytest
import torch

from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes
from projects_ext import add_config
from projects_ext.errors import UserError
from projects_ext.groie import GRoIEPooler
from projects_ext.modeling.poolers import ROI_POOLER_REGISTRY, build_roi_pooler
from tests.procedural import procedural_noise

SHAPES = {f"p{level}": ShapeSpec(channels=12, stride=2**level) for level in (2, 3, 4, 5)}


def config(name: str, *options: Any) -> CfgNode:
    """With a 7 x 7 pooler of that name for boxes."""
    cfg = get_cfg()
    add_config(cfg)
    cfg.MODEL.ROI_HEADS.IN_FEATURES = list(SHAPES)
    head = cfg.MODEL.ROI_BOX_HEAD
    head.update(POOLER_NAME=name, POOLER_RESOLUTION=7, POOLER_SAMPLING_RATIO=2)
    cfg.MODEL.GROIE.merge_from_list(list(options))
    return cfg


def build(cfg: CfgNode) -> Any:
    return build_roi_pooler(cfg, cfg.MODEL.ROI_BOX_HEAD, SHAPES)


@pytest.mark.parametrize("name", ["ROIPooler", "GRoIEPooler"])
def test_poolers_share_their_call(name: str) -> None:
    pooler = build(config(name))
    maps = [procedural_noise(f"map {i}", (2, 12, 32 >> i, 48 >> i)) for i in range(4)]
    boxes = [Boxes(torch.tensor([[3.0, 4, 70, 80]])), Boxes(torch.zeros(0, 4))]
    assert pooler(maps, boxes).shape == (1, 12, 7, 7)


def test_detectron2s_own_is_the_default() -> None:
    cfg = get_cfg()
    add_config(cfg)
    assert ROI_POOLER_REGISTRY.get(cfg.MODEL.ROI_BOX_HEAD.POOLER_NAME) is ROIPooler
    assert ROI_POOLER_REGISTRY.get(cfg.MODEL.ROI_MASK_HEAD.POOLER_NAME) is ROIPooler


def test_options_of_groie_are_those_of_the_config() -> None:
    standard = build(config("GRoIEPooler"))
    assert isinstance(standard, GRoIEPooler)
    assert standard.pre_module.weight.shape == (12, 12, 5, 5)
    assert standard.post_module.num_heads == 6
    assert standard.post_module.transposed_rows
    assert not standard.recompute
    other = build(
        config(
            "GRoIEPooler", "PRE_KERNEL_SIZE", 3, "AGGREGATION", "concat", "NUM_HEADS", 4,
            "ATTENTION_TYPE", "'1111'", "KV_STRIDE", 1, "RECOMPUTE", True,
        )
    )  # fmt: skip
    assert other.pre_module.weight.shape == (12, 12, 3, 3)
    attention = other.post_module
    assert (attention.channels, attention.num_heads, attention.kv_stride) == (48, 4, 1)
    assert attention.attention_type == "1111"
    assert (other.aggregation, other.recompute) == ("concat", True)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("GRoIEpooler", "POOLER_NAME is 'GRoIEpooler', but no such pooler exists: use GRoIEPooler"),
        ("", "no such pooler exists: use ROIPooler or GRoIEPooler"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest_ones(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build(config(name))
