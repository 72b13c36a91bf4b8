"""Anchors: the reference's values, order, and how parameters spread over levels."""

import numpy as np
import pytest
import torch

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import ANCHOR_GENERATOR_REGISTRY, build_anchor_generator
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes
from tests.golden_files import load_golden

BAD_INPUT = (AssertionError, ValueError)


def feature_maps(*sizes):
    return [torch.zeros(1, 1, *size) for size in sizes]


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_golden(offset):
    golden = load_golden("d2_components")
    generator = DefaultAnchorGenerator(
        sizes=[[32], [64, 90]], aspect_ratios=[[0.5, 1, 2]], strides=[4, 8], offset=offset
    )
    anchors = generator(feature_maps((3, 5), (2, 3)))
    for level, boxes in enumerate(anchors):
        assert isinstance(boxes, Boxes)
        np.testing.assert_array_equal(boxes.tensor, golden[f"anchors.offset{offset}.level{level}"])


def test_order_is_row_column_size_ratio():
    generator = DefaultAnchorGenerator(
        sizes=[[8, 16]], aspect_ratios=[[1, 4]], strides=[10], offset=0.5
    )
    (boxes,) = generator(feature_maps((2, 3)))
    size = boxes.tensor[:, 2:] - boxes.tensor[:, :2]
    assert size[:4].tolist() == [[8, 8], [4, 16], [16, 16], [8, 32]]
    assert torch.equal(size, size[:4].repeat(6, 1))
    expected = [[x, y] for y in (5, 15) for x in (5, 15, 25) for _ in range(4)]
    assert boxes.get_centers().tolist() == expected


@pytest.mark.parametrize("sizes", [[32, 64], [[32, 64]], [[32, 64], [32, 64]]])
def test_parameters_spread_over_levels(sizes):
    generator = DefaultAnchorGenerator(sizes=sizes, aspect_ratios=[1.0], strides=[4, 8])
    assert generator.num_anchors == generator.num_cell_anchors == [2, 2]
    assert generator.box_dim == 4
    (first, second) = generator.cell_anchors
    assert torch.equal(first, second)


def test_no_weights_in_checkpoints_but_moves_with_the_module():
    generator = DefaultAnchorGenerator(sizes=[[32]], aspect_ratios=[[1.0]], strides=[4])
    assert not generator.state_dict()
    assert not list(generator.parameters())
    assert [name for name, _ in generator.named_buffers()] == ["cell_anchors.0"]
    assert generator.to("meta")(feature_maps((2, 1)))[0].device.type == "meta"


@pytest.mark.core_only(reason="upstream fails")
def test_empty_feature_map():
    generator = DefaultAnchorGenerator(sizes=[[32]], aspect_ratios=[[1.0]], strides=[4])
    assert len(generator(feature_maps((0, 7)))[0]) == 0


@pytest.mark.parametrize(
    "options",
    [{"sizes": [[32], [64], [128]]}, {"offset": 1.0}, {"offset": -0.1}, {"aspect_ratios": []}],
)
def test_bad_arguments(options):
    arguments = {"sizes": [[32]], "aspect_ratios": [[1.0]], "strides": [4, 8], **options}
    with pytest.raises(BAD_INPUT):
        DefaultAnchorGenerator(**arguments)


def test_from_config():
    config = get_cfg()
    config.MODEL.ANCHOR_GENERATOR.SIZES = [[16], [32]]
    config.MODEL.ANCHOR_GENERATOR.OFFSET = 0.25
    generator = build_anchor_generator(config, [ShapeSpec(stride=8), ShapeSpec(stride=16)])
    assert type(generator) is ANCHOR_GENERATOR_REGISTRY.get("DefaultAnchorGenerator")
    assert generator.num_anchors == [3, 3]
    anchors = generator(feature_maps((2, 2), (1, 1)))
    assert anchors[0].get_centers()[0].tolist() == [2.0, 2.0]
    assert anchors[1].get_centers()[0].tolist() == [4.0, 4.0]


@pytest.mark.core_only(reason="upstream drops the surplus silently")
def test_wrong_number_of_feature_maps():
    generator = DefaultAnchorGenerator(sizes=[[32]], aspect_ratios=[[1.0]], strides=[4, 8])
    with pytest.raises(ValueError, match="2 strides but got 1 feature maps"):
        generator(feature_maps((2, 2)))
