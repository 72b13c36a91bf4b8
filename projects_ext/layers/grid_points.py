"""Grid points of a box: neighbours, regions of a heatmap, targets, decoding (arXiv 1811.12030).

A box has G = S x S grid points, from its left top to its right bottom corner, counted down its
columns: point ``S * column + row``. Points are sought on a map of twice the box's sides; a point's
heatmap covers only the half of it (in both directions) where that point can be.

Shapes: R regions, G points, heatmaps of M x M cells, so that the whole map has 2M x 2M.
"""

import math

import torch
from torch import Tensor


def neighbours(size: int) -> list[list[int]]:
    """For each of the S x S points its neighbours: left, up, down, right, as far as they exist."""
    found = []
    for column in range(size):
        for row in range(size):
            around = [(column - 1, row), (column, row - 1), (column, row + 1), (column + 1, row)]
            found.append([size * x + y for x, y in around if 0 <= x < size and 0 <= y < size])
    return found


def region_offsets(size: int, cells: int, device: torch.device | None = None) -> Tensor:
    """Where each point's heatmap lies in the whole map (section 3.2, "extended region mapping").

    Args:
        size: S.
        cells: M.
        device: of the result.

    Returns:
        (G, 2) integers, x and y: 0 at the first, M at the last row or column, in between
        proportionally.
    """
    middle = [(index / (size - 1) - 0.25) * 2 * cells for index in range(1, size - 1)]
    axis = torch.tensor([0, *(max(int(start), 0) for start in middle), cells], device=device)
    return torch.stack([axis.repeat_interleave(size), axis.repeat(size)], dim=1)


def _double(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Left top corner and sides of the boxes with twice the sides: each (R, 2)."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] - sides / 2, 2 * sides


def grid_targets(boxes: Tensor, gt_boxes: Tensor, size: int, cells: int) -> Tensor:
    """Heatmaps to learn: 1 at a ground truth point and at the four cells beside it.

    Args:
        boxes: (R, 4) regions, x0, y0, x1, y1.
        gt_boxes: (R, 4), the box that each is to find.
        size: S.
        cells: M.

    Returns:
        (R, G, M, M) of 0 and 1; all 0 for a region so small that its doubled sides are no longer
        than S.
    """
    corner, sides = _double(boxes)
    share = torch.linspace(0, 1, size, device=boxes.device, dtype=boxes.dtype)
    column, row = share.repeat_interleave(size), share.repeat(size)
    point_x = (1 - column) * gt_boxes[:, :1] + column * gt_boxes[:, 2:3]
    point_y = (1 - row) * gt_boxes[:, 1:2] + row * gt_boxes[:, 3:]
    points = torch.stack([point_x, point_y], dim=-1)
    large = (sides > size).all(dim=1)
    scaled = (points - corner[:, None]) / sides.clamp(min=1e-6)[:, None] * (2 * cells)
    # Truncation towards zero, within what integers hold.
    cell = scaled.clamp(-1e6, 1e6).long() - region_offsets(size, cells, boxes.device)
    axis = torch.arange(cells, device=boxes.device)
    away_x = (axis - cell[..., :1]).abs()[:, :, None, :]
    away_y = (axis - cell[..., 1:]).abs()[:, :, :, None]
    return ((away_x + away_y <= 1) & large[:, None, None, None]).to(boxes.dtype)


def decode_boxes(boxes: Tensor, heatmaps: Tensor) -> Tensor:
    """Boxes from the points found: each side is the mean of its points, weighted by their scores.

    Args:
        boxes: (R, 4) regions.
        heatmaps: (R, G, M, M) probabilities.

    Returns:
        (R, 4), x0, y0, x1, y1, not clipped.
    """
    # While a program is traced, sides are tensors.
    points, cells = int(heatmaps.shape[1]), int(heatmaps.shape[2])
    size = math.isqrt(points)
    scores, position = heatmaps.flatten(2).max(dim=2)
    cell = torch.stack([position % cells, position // cells], dim=-1)
    cell = cell + region_offsets(size, cells, heatmaps.device)
    corner, sides = _double(boxes)
    found = (cell + 0.5) / (2 * cells) * sides[:, None] + corner[:, None]
    grid = found.unflatten(1, (size, size))
    weights = scores.unflatten(1, (size, size))
    return torch.stack(
        [
            _mean(grid[:, 0, :, 0], weights[:, 0]),
            _mean(grid[:, :, 0, 1], weights[:, :, 0]),
            _mean(grid[:, -1, :, 0], weights[:, -1]),
            _mean(grid[:, :, -1, 1], weights[:, :, -1]),
        ],
        dim=1,
    )


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum(1) / weights.sum(1).clamp(min=1e-12)


def jitter_boxes(boxes: Tensor, amplitude: float) -> Tensor:
    """Move centres and change sides by random shares of the sides, of at most ``amplitude``.

    Args:
        boxes: (R, 4), x0, y0, x1, y1.
        amplitude: 0.15 moves a box of 100 pixels by up to 15.
    """
    share = (2 * torch.rand_like(boxes) - 1) * amplitude
    sides = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + sides / 2 + share[:, :2] * sides
    half = sides * (1 + share[:, 2:]) / 2
    return torch.cat([centre - half, centre + half], dim=1)
