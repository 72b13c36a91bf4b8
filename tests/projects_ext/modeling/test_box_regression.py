"""Limits of dw and dh on both sides."""

import math

import pytest
import torch

from detectron2.modeling.box_regression import Box2BoxTransform
from projects_ext.modeling import TwoSidedBox2BoxTransform

LIMIT = math.log(1000 / 16)
BOXES = torch.tensor([[0.0, 0.0, 100.0, 50.0], [10.0, 20.0, 30.0, 80.0]])


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 4.0)])
def test_a_box_shrinks_as_far_as_it_grows(weights: tuple[float, float, float, float]) -> None:
    coder = TwoSidedBox2BoxTransform(weights=weights)
    deltas = torch.zeros(2, 8)
    deltas[:, 2:4] = -1000.0
    deltas[:, 6:8] = 1000.0
    decoded = coder.apply_deltas(deltas, BOXES).view(2, 2, 4)
    size = (decoded[..., 2:] - decoded[..., :2]) / (BOXES[:, 2:] - BOXES[:, :2])[:, None]
    expected = torch.tensor([[16 / 1000] * 2, [1000 / 16] * 2]).expand(2, 2, 2)
    torch.testing.assert_close(size, expected, rtol=1e-3, atol=1e-4)
    centers = (decoded[..., 2:] + decoded[..., :2]) / 2
    own_centers = ((BOXES[:, 2:] + BOXES[:, :2]) / 2)[:, None].expand(2, 2, 2)
    torch.testing.assert_close(centers, own_centers, rtol=1e-4, atol=1e-3)


def test_within_the_limits_it_is_the_plain_coder() -> None:
    weights = (10.0, 10.0, 5.0, 5.0)
    generator = torch.Generator().manual_seed(0)
    deltas = torch.randn(2, 12, generator=generator) * 5 * LIMIT / 3
    deltas[:, 2::4].clamp_(min=-5 * LIMIT)
    deltas[:, 3::4].clamp_(min=-5 * LIMIT)
    plain = Box2BoxTransform(weights=weights).apply_deltas(deltas, BOXES)
    found = TwoSidedBox2BoxTransform(weights=weights).apply_deltas(deltas, BOXES)
    torch.testing.assert_close(found, plain, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(0, 4), (0, 320)])
def test_no_boxes(shape: tuple[int, int]) -> None:
    coder = TwoSidedBox2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0))
    assert coder.apply_deltas(torch.zeros(shape), torch.zeros(0, 4)).shape == shape
