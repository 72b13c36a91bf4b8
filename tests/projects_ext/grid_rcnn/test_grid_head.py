import math

import pytest
import torch
from torch.nn import functional as F

from detectron2.layers import ShapeSpec
from projects_ext.grid_rcnn import GridHead
from tests.procedural import procedural_noise
from tests.references import grid_points as slow


def build(size: int = 3, **options) -> GridHead:
    torch.manual_seed(0)
    options = {"num_convs": 2, "point_channels": 4, "norm_groups": size, **options}
    return GridHead(ShapeSpec(channels=6, height=14, width=14), grid_size=size, **options)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_one_heatmap_a_point_of_twice_the_size(size: int) -> None:
    heatmaps = build(size)(procedural_noise("x", (5, 6, 14, 14)))
    assert heatmaps.fused.shape == heatmaps.unfused.shape == (5, size**2, 28, 28)


def test_heatmaps_without_fusion_are_for_training_alone() -> None:
    head, x = build(), procedural_noise("x", (2, 6, 14, 14))
    assert not torch.equal(head(x).fused, head(x).unfused)
    assert head.eval()(x).unfused is None


def test_a_fresh_head_expects_no_point_anywhere() -> None:
    probability = build().eval()(procedural_noise("x", (2, 6, 14, 14))).fused.sigmoid()
    torch.testing.assert_close(probability, torch.full_like(probability, 0.01), rtol=0.1, atol=0)


@pytest.mark.parametrize(("point", "reached"), [(0, {0, 1, 2, 3, 4, 6}), (4, set(range(9)))])
def test_a_point_hears_of_others_within_two_steps(point: int, reached: set[int]) -> None:
    head = build().eval().double()
    trunk = procedural_noise("trunk", (1, 36, 7, 7)).double().requires_grad_()
    points = list(trunk.chunk(9, dim=1))
    far = head._fuse(points, head._fuse(points, points, head.first_order), head.second_order)
    far[point].sum().backward()
    felt = trunk.grad.view(9, -1).abs().sum(1).nonzero().flatten().tolist()
    assert set(felt) == reached


def test_loss_is_that_of_both_heatmaps_with_slow_targets() -> None:
    head = build().double()
    heatmaps = head(procedural_noise("x", (3, 6, 14, 14)).double())
    boxes = torch.tensor([[10.0, 10, 60, 40], [0, 0, 30, 90], [5, 5, 6, 6]]).double()
    truth = boxes + torch.tensor([3.0, -4, 5, 2]).double()
    targets = slow.grid_targets(boxes, truth, 3, 28).float()
    expected = sum(
        15 * F.binary_cross_entropy_with_logits(x.float(), targets)
        for x in heatmaps
        if x is not None
    )
    found = head.losses(heatmaps, boxes, truth)
    assert set(found) == {"loss_grid"}
    torch.testing.assert_close(found["loss_grid"], expected)


def test_no_regions() -> None:
    head, empty = build(), torch.zeros(0, 4)
    heatmaps = head(torch.zeros(0, 6, 14, 14))
    assert heatmaps.fused.shape == (0, 9, 28, 28)
    loss = head.losses(heatmaps, empty, empty)["loss_grid"]
    assert loss == 0
    loss.backward()
    assert all(x.grad is not None and not x.grad.any() for x in head.parameters())


def test_published_head_has_576_channels() -> None:
    head = GridHead(ShapeSpec(channels=256))
    assert len(head.convs) == 8
    assert head.convs[0].weight.shape == (576, 256, 3, 3)
    assert head.convs[3].norm.num_groups == 36
    assert head.deconv2.bias[0].item() == pytest.approx(-math.log(99))
