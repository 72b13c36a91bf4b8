"""Box coding: the reference's values, round trips, and the dense losses term by term."""

import math

import numpy as np
import pytest
import torch

from detectron2.modeling.box_regression import (
    Box2BoxTransform,
    Box2BoxTransformLinear,
    _dense_box_regression_loss,
)
from detectron2.structures import Boxes
from tests.golden_files import load_golden

BAD_INPUT = (AssertionError, ValueError)


def random_boxes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 200
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=generator) * 90], dim=1)


def test_golden():
    golden = load_golden("d2_components")
    coder = Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0))
    source, target, wild, deltas, applied = (
        torch.from_numpy(golden[f"box_coder.{name}"])
        for name in ("src", "dst", "wild_deltas", "deltas", "applied")
    )
    torch.testing.assert_close(coder.get_deltas(source, target), deltas, rtol=1e-6, atol=1e-6)
    answer = coder.apply_deltas(wild, source).numpy()
    np.testing.assert_allclose(answer, applied, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    "coder", [Box2BoxTransform((1.0, 1.0, 1.0, 1.0)), Box2BoxTransform((10.0, 20.0, 5.0, 2.0))]
)
def test_round_trip(coder):
    source, target = random_boxes(30, 0), random_boxes(30, 1)
    back = coder.apply_deltas(coder.get_deltas(source, target), source)
    torch.testing.assert_close(back, target, rtol=1e-4, atol=1e-3)


def test_one_box_by_hand():
    source, target = torch.tensor([[0.0, 0.0, 10.0, 20.0]]), torch.tensor([[5.0, 0.0, 25.0, 20.0]])
    deltas = Box2BoxTransform((1.0, 1.0, 2.0, 1.0)).get_deltas(source, target)
    torch.testing.assert_close(deltas, torch.tensor([[1.0, 0.0, 2 * math.log(2), 0.0]]))


def test_growth_is_limited():
    box = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    default = Box2BoxTransform((1.0, 1.0, 1.0, 1.0))
    huge = default.apply_deltas(torch.tensor([[0.0, 0.0, 1e9, 1e9]]), box)
    torch.testing.assert_close(huge[:, 2:] - huge[:, :2], torch.tensor([[1000.0, 1000.0]]))
    limited = Box2BoxTransform((1.0, 1.0, 1.0, 1.0), scale_clamp=0.0)
    torch.testing.assert_close(limited.apply_deltas(torch.tensor([[0.0, 0, 9, 9]]), box), box)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_several_deltas_a_box(count):
    coder = Box2BoxTransform((1.0, 1.0, 1.0, 1.0))
    boxes, deltas = random_boxes(count, 0), torch.randn(count, 12)
    together = coder.apply_deltas(deltas, boxes)
    assert together.shape == (count, 12)
    for part in range(0, 12, 4):
        alone = coder.apply_deltas(deltas[:, part : part + 4], boxes)
        assert torch.equal(together[:, part : part + 4], alone)


LINEAR = pytest.param(
    Box2BoxTransformLinear(),
    marks=pytest.mark.core_only(reason="upstream rounds coordinates to the deltas' precision"),
)


@pytest.mark.parametrize("coder", [Box2BoxTransform((1.0, 1.0, 1.0, 1.0)), LINEAR])
def test_half_precision_deltas_give_float32_boxes(coder):
    boxes = torch.tensor([[1000.0, 1001.0, 1003.0, 1005.0]])
    answer = coder.apply_deltas(torch.full((1, 4), 0.5, dtype=torch.bfloat16), boxes)
    assert answer.dtype == torch.float32
    assert torch.equal(answer, coder.apply_deltas(torch.full((1, 4), 0.5), boxes))


def test_a_source_without_width_is_refused():
    empty = torch.tensor([[5.0, 5.0, 5.0, 9.0]])
    with pytest.raises(BAD_INPUT):
        Box2BoxTransform((1.0, 1.0, 1.0, 1.0)).get_deltas(empty, random_boxes(1, 0))


def test_linear_by_hand():
    source, target = torch.tensor([[4.0, 4.0, 12.0, 8.0]]), torch.tensor([[0.0, 2.0, 20.0, 10.0]])
    pixels = Box2BoxTransformLinear(normalize_by_size=False)
    expected = torch.tensor([[8.0, 4.0, 12.0, 4.0]])
    assert torch.equal(pixels.get_deltas(source, target), expected)
    assert torch.equal(pixels.apply_deltas(expected, source), target)
    strides = Box2BoxTransformLinear()
    assert torch.equal(
        strides.get_deltas(source, target), expected / torch.tensor([[8.0, 4.0, 8.0, 4.0]])
    )
    assert torch.equal(strides.apply_deltas(strides.get_deltas(source, target), source), target)
    negative = strides.apply_deltas(torch.full((1, 4), -3.0), source)
    assert negative.tolist() == [[8.0, 6.0, 8.0, 6.0]]


def giou(first, second):
    """Generalised IoU of two boxes, in plain Python."""
    width = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    inter = width * height
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (first, second)]
    hull = (max(first[2], second[2]) - min(first[0], second[0])) * (
        max(first[3], second[3]) - min(first[1], second[1])
    )
    union = sum(areas) - inter
    return inter / union - (hull - union) / hull


@pytest.mark.parametrize("loss_type", ["smooth_l1", "giou", "diou", "ciou"])
def test_dense_loss_is_the_sum_over_foreground(loss_type):
    coder = Box2BoxTransform((1.0, 1.0, 1.0, 1.0))
    anchors = random_boxes(9, 0)
    levels = [Boxes(anchors[:6]), Boxes(anchors[6:])]
    truth = [random_boxes(9, 1), random_boxes(9, 2)]
    deltas = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(3)) * 0.3
    foreground = torch.zeros(2, 9, dtype=torch.bool)
    foreground[0, [1, 7]] = foreground[1, 3] = True

    def loss(mask):
        parts = [deltas[:, :6], deltas[:, 6:]]
        return float(_dense_box_regression_loss(levels, coder, parts, truth, mask, loss_type, 0.1))

    expected = 0.0
    for image, anchor in foreground.nonzero().tolist():
        single = torch.zeros_like(foreground)
        single[image, anchor] = True
        term = loss(single)
        target, source = truth[image][anchor], anchors[anchor : anchor + 1]
        if loss_type == "smooth_l1":
            distance = (deltas[image, anchor] - coder.get_deltas(source, target[None])[0]).abs()
            by_hand = torch.where(distance < 0.1, 5 * distance**2, distance - 0.05).sum()
            assert term == pytest.approx(float(by_hand), rel=1e-4)
        if loss_type == "giou":
            box = coder.apply_deltas(deltas[image, anchor][None], source)[0]
            assert term == pytest.approx(1 - giou(box.tolist(), target.tolist()), rel=1e-4)
        expected += term
    assert loss(foreground) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss_type", ["smooth_l1", "giou", "diou", "ciou"])
def test_dense_loss_without_foreground_is_zero_and_has_a_gradient(loss_type):
    anchors, deltas = [Boxes(random_boxes(4, 0))], torch.randn(1, 4, 4, requires_grad=True)
    mask = torch.zeros(1, 4, dtype=torch.bool)
    loss = _dense_box_regression_loss(
        anchors, Box2BoxTransformLinear(), [deltas], [random_boxes(4, 1)], mask, loss_type
    )
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert float(deltas.grad.abs().sum()) == 0.0


def test_dense_loss_of_unknown_type():
    boxes = random_boxes(2, 0)
    with pytest.raises(ValueError, match="best"):
        _dense_box_regression_loss(
            [Boxes(boxes)], Box2BoxTransformLinear(), [torch.zeros(1, 2, 4)], [boxes],
            torch.ones(1, 2, dtype=torch.bool), "best",
        )  # fmt: skip
