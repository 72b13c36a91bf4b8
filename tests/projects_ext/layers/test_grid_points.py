import pytest
import torch

from projects_ext.layers.grid_points import (
    decode_boxes,
    grid_targets,
    jitter_boxes,
    neighbours,
    region_offsets,
)
from tests.references import grid_points as slow


def random_boxes(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 200
    sides = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 80
    return torch.cat([corner, corner + sides], dim=1)


def test_neighbours_of_nine_points() -> None:
    # Counted down the columns: 0 is the left top corner, 1 below it, 3 to its right.
    assert neighbours(3)[0] == [1, 3]
    assert neighbours(3)[4] == [1, 3, 5, 7]
    assert neighbours(3)[5] == [2, 4, 8]
    assert neighbours(3)[8] == [5, 7]


def test_heatmaps_lie_in_the_halves_where_their_points_can_be() -> None:
    offsets = region_offsets(3, 28)
    assert offsets[0].tolist() == [0, 0]
    assert offsets[1].tolist() == [0, 14]
    assert offsets[4].tolist() == [14, 14]
    assert offsets[6].tolist() == [28, 0]
    assert region_offsets(2, 8).tolist() == [[0, 0], [0, 8], [8, 0], [8, 8]]
    for size, cells in ((3, 28), (4, 14), (5, 9)):
        expected = slow.starts(size, cells)
        assert region_offsets(size, cells)[::size, 0].tolist() == expected


@pytest.mark.parametrize(("size", "cells"), [(3, 28), (3, 14), (2, 8), (4, 9)])
def test_targets_are_their_definition(size: int, cells: int) -> None:
    boxes = random_boxes(40)
    truth = boxes + 30 * (random_boxes(40, 1) / 200 - 0.5)
    truth[:5] = boxes[:5]
    boxes[5, 2:] = boxes[5, :2] + 0.5  # too small
    boxes[6] = 0  # without extent
    expected = slow.grid_targets(boxes, truth, size, cells)
    assert expected.sum() > 100
    assert expected[5].sum() == expected[6].sum() == 0
    assert torch.equal(grid_targets(boxes, truth, size, cells), expected)


@pytest.mark.parametrize(("size", "cells"), [(3, 28), (2, 8), (4, 9)])
def test_decoding_is_its_definition(size: int, cells: int) -> None:
    generator = torch.Generator().manual_seed(0)
    heatmaps = torch.rand(20, size * size, cells, cells, generator=generator, dtype=torch.float64)
    boxes = random_boxes(20)
    expected = slow.decode_boxes(boxes, heatmaps)
    torch.testing.assert_close(decode_boxes(boxes, heatmaps), expected)


def test_targets_decode_to_the_box_to_find() -> None:
    boxes = torch.tensor([[100.0, 50.0, 200.0, 150.0]])
    truth = torch.tensor([[90.0, 60.0, 215.0, 140.0]])
    found = decode_boxes(boxes, grid_targets(boxes, truth, 3, 28))
    # The first of five cells of equal value is the one above: within two cells of 200 / 56.
    assert (found - truth).abs().max() <= 2 * 200 / 56


def test_no_regions() -> None:
    empty = torch.zeros(0, 4)
    assert grid_targets(empty, empty, 3, 28).shape == (0, 9, 28, 28)
    assert decode_boxes(empty, torch.zeros(0, 9, 28, 28)).shape == (0, 4)


def test_decoded_boxes_are_differentiable_in_their_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    heatmaps = torch.rand(2, 9, 4, 4, generator=generator, dtype=torch.float64)
    boxes = random_boxes(2).requires_grad_()
    inputs = (boxes, heatmaps.requires_grad_())
    assert torch.autograd.gradcheck(decode_boxes, inputs)


def test_jitter_stays_within_its_amplitude() -> None:
    boxes = random_boxes(500)
    torch.manual_seed(0)
    moved = jitter_boxes(boxes, 0.15)
    sides, new_sides = (x[:, 2:] - x[:, :2] for x in (boxes, moved))
    centre, new_centre = ((x[:, 2:] + x[:, :2]) / 2 for x in (boxes, moved))
    assert ((new_centre - centre).abs() <= 0.15 * sides + 1e-9).all()
    change = new_sides / sides - 1
    assert change.abs().max() <= 0.15 + 1e-9
    assert change.min() < -0.14
    assert change.max() > 0.14
    torch.testing.assert_close(jitter_boxes(boxes, 0.0), boxes)
