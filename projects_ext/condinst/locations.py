"""Which location learns which instance (FCOS, arXiv 1904.01355, section 3.2, with centre sampling).

Shapes: M instances of an image, levels of Hi x Wi cells, Ri = Hi * Wi, R the sum of all Ri.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from projects_ext.layers import cell_centers

REACH = 8
"""A level of stride s finds distances of 4 s to 8 s; the finest also less, the coarsest more."""


class Locations(NamedTuple):
    """All cells of all levels.

    Attributes:
        points: (R, 2) x and y in pixels.
        strides: (R,) of their levels, float.
        shapes: (Hi, Wi) a level.
    """

    points: Tensor
    strides: Tensor
    shapes: list[tuple[int, int]]


def locations_of(maps: Sequence[Tensor], strides: Sequence[int]) -> Locations:
    """The locations of maps (N, C, Hi, Wi) of these strides."""
    shapes = [(int(x.shape[-2]), int(x.shape[-1])) for x in maps]
    points = [
        cell_centers(*shape, stride, maps[0].device)
        for shape, stride in zip(shapes, strides, strict=True)
    ]
    per_cell = [x.new_full((len(x),), s) for x, s in zip(points, strides, strict=True)]
    return Locations(torch.cat(points), torch.cat(per_cell), shapes)


def match_locations(
    shapes: Sequence[tuple[int, int]],
    strides: Sequence[int],
    boxes: Tensor,
    centers: Tensor,
    radius: float,
) -> Tensor:
    """The instance that every location learns.

    A location may learn an instance if it lies in its box, less than ``radius`` strides (in x and
    in y) from its centre, and if the farthest side of the box is within the level's reach. Of
    several instances it learns the one with the smallest box.

    Args:
        shapes: (Hi, Wi) a level, finest first.
        strides: of the levels.
        boxes: (M, 4), M may be 0.
        centers: (M, 2) x and y of the instances' centres.
        radius: of the centre sampling.

    Returns:
        (R,) int64 indices of instances, -1 for none.
    """
    matched = []
    for index, (shape, stride) in enumerate(zip(shapes, strides, strict=True)):
        reach = (
            0.0 if index == 0 else stride * REACH / 2,
            float("inf") if index == len(shapes) - 1 else float(stride * REACH),
        )
        matched.append(_match_level(shape, stride, boxes, centers, radius * stride, reach))
    return torch.cat(matched)


def _match_level(
    shape: tuple[int, int],
    stride: int,
    boxes: Tensor,
    centers: Tensor,
    radius: float,
    reach: tuple[float, float],
) -> Tensor:
    height, width = shape
    if len(boxes) == 0:
        return torch.full((height * width,), -1, dtype=torch.long, device=boxes.device)
    # Rows and columns apart: only the last three are as large as all pairs of cell and instance.
    near_x, far_x = _along(width, stride, boxes[:, 0::2], centers[:, 0], radius)
    near_y, far_y = _along(height, stride, boxes[:, 1::2], centers[:, 1], radius)
    farthest = torch.maximum(far_y[:, None], far_x[None])
    eligible = near_y[:, None] & near_x[None] & (farthest >= reach[0]) & (farthest <= reach[1])
    sides = boxes[:, 2:] - boxes[:, :2]
    area = torch.where(eligible, sides[:, 0] * sides[:, 1], float("inf"))
    smallest, instance = area.flatten(0, 1).min(dim=1)
    return instance.masked_fill(smallest.isinf(), -1)


def _along(
    cells: int, stride: int, sides: Tensor, center: Tensor, radius: float
) -> tuple[Tensor, Tensor]:
    """In one direction: whether cells (cells, M) are inside and near; how far the farther side."""
    position = ((torch.arange(cells, device=sides.device) + 0.5) * stride)[:, None]
    before, after = position - sides[:, 0], sides[:, 1] - position
    inside = (before > 0) & (after > 0) & ((position - center).abs() < radius)
    return inside, torch.maximum(before, after)


def box_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """From points (R, 2) to the left, top, right and bottom sides of boxes (R, 4), in pixels."""
    return torch.cat((points - boxes[:, :2], boxes[:, 2:] - points), dim=1)


def boxes_at(points: Tensor, distances: Tensor) -> Tensor:
    """The boxes whose sides have these distances from points: undoes :func:`box_distances`."""
    return torch.cat((points - distances[:, :2], points + distances[:, 2:]), dim=1)


def centerness(distances: Tensor) -> Tensor:
    """1 in the middle of a box, 0 at its sides (Eq. 3 of FCOS): (…, 4) -> (…)."""
    horizontal, vertical = distances[..., 0::2], distances[..., 1::2]
    ratios = [pair.amin(dim=-1) / pair.amax(dim=-1) for pair in (horizontal, vertical)]
    return (ratios[0] * ratios[1]).sqrt()


def share_fairly(instances: Tensor, images: Tensor, quality: Tensor, limit: int) -> Tensor:
    """Choose locations to train masks with, as fairly as a limit of their number allows.

    Images take turns, and within an image its instances do; an instance sends its locations in the
    order of their quality, which also decides who is first. So no image or instance is left out
    while another has more.

    Args:
        instances: (S,) int64, which instance of its image each location learns.
        images: (S,) int64, which image it lies in.
        quality: (S,).
        limit: how many to choose at most.

    Returns:
        (min(S, limit),) int64 indices of locations, ascending.
    """
    if len(instances) <= limit:
        return torch.arange(len(instances), device=instances.device)
    best_first = quality.argsort(descending=True, stable=True)
    owner = images * (instances.max() + 1) + instances
    turns = _turns(owner, best_first)
    by_turn = best_first[turns[best_first].argsort(stable=True)]
    turns = _turns(images, by_turn)
    return by_turn[turns[by_turn].argsort(stable=True)][:limit].sort().values


def _turns(group: Tensor, order: Tensor) -> Tensor:
    """For each element its position (0, 1, …) among those of its group, taken in ``order``."""
    by_group = order[group[order].argsort(stable=True)]
    sorted_groups = group[by_group]
    start = torch.searchsorted(sorted_groups, sorted_groups)
    turns = torch.empty_like(group)
    turns[by_group] = torch.arange(len(group), device=group.device) - start
    return turns
