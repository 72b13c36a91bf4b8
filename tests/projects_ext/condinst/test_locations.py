"""Which location learns which instance, and which masks train."""

import numpy as np
import pytest
import torch

from projects_ext.condinst.locations import (
    box_distances,
    boxes_at,
    centerness,
    locations_of,
    match_locations,
    share_fairly,
)
from tests.references.condinst import Truth, fair_share, learns

STRIDES = [8, 16, 32]
SHAPES = [(8, 12), (4, 6), (2, 3)]


def random_boxes(seed: int, count: int) -> torch.Tensor:
    random = np.random.RandomState(seed)
    size = random.uniform(2, 70, (count, 2))
    corner = random.uniform(size=(count, 2)) * ([96, 64] - size)
    return torch.from_numpy(np.concatenate([corner, corner + size], axis=1).astype(np.float32))


@pytest.mark.parametrize("seed", range(3))
def test_matches_are_the_references(seed: int) -> None:
    boxes = random_boxes(seed, 9)
    masks = torch.zeros(9, 64, 96, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist(), strict=True):
        # Not all of the box: the centroid is elsewhere.
        mask[max(y0, 0) : y1, max(x0, 0) : (2 * x1 + x0) // 3] = True
    truth = Truth(boxes, torch.zeros(9, dtype=torch.long), masks)
    centers = torch.stack(
        [torch.stack([m.nonzero()[:, d].double().mean() for d in (1, 0)]) for m in masks]
    )
    found = match_locations(SHAPES, STRIDES, boxes, centers.float(), 1.5)
    expected = [
        learns((column + 0.5) * stride, (row + 0.5) * stride, level, STRIDES, truth)
        for level, (stride, (height, width)) in enumerate(zip(STRIDES, SHAPES, strict=True))
        for row in range(height)
        for column in range(width)
    ]
    assert found.tolist() == expected
    assert len(set(expected)) > 4


def test_no_instances() -> None:
    found = match_locations(SHAPES, STRIDES, torch.zeros(0, 4), torch.zeros(0, 2), 1.5)
    assert found.tolist() == [-1] * (96 + 24 + 6)


def test_locations_lie_in_the_middle_of_their_cells() -> None:
    maps = [torch.zeros(1, 2, *shape) for shape in SHAPES]
    found = locations_of(maps, STRIDES)
    assert found.shapes == SHAPES
    assert found.points[:2].tolist() == [[4, 4], [12, 4]]
    assert found.points[-1].tolist() == [80, 48]
    assert found.strides[[0, 95, 96, -1]].tolist() == [8, 8, 16, 32]


def test_distances_and_boxes_undo_each_other() -> None:
    points, boxes = torch.tensor([[10.0, 20], [3, 4]]), random_boxes(0, 2)
    distances = box_distances(points, boxes)
    torch.testing.assert_close(boxes_at(points, distances), boxes)
    assert box_distances(torch.tensor([[2.0, 5]]), torch.tensor([[0.0, 1, 9, 7]])).tolist() == [
        [2, 4, 7, 2]
    ]


def test_centerness() -> None:
    found = centerness(torch.tensor([[4.0, 3, 4, 3], [1, 2, 4, 2], [0, 1, 5, 1]]))
    assert found.tolist() == [1, 0.5, 0]


@pytest.mark.parametrize("limit", [1, 5, 11, 12, 100])
def test_masks_are_shared_fairly(limit: int) -> None:
    images = torch.tensor([0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 3])
    instances = torch.tensor([1, 1, 1, 1, 1, 0, 4, 0, 0, 0, 2, 1])
    quality = torch.tensor([0.1, 0.5, 0.9, 0.2, 0.3, 0.1, 0.1, 0.3, 0.8, 0.1, 0.2, 0.7])
    found = share_fairly(instances, images, quality, limit)
    assert len(found) == min(limit, 12)
    assert found.tolist() == sorted(set(found.tolist()))
    chosen = torch.zeros(12, dtype=torch.bool)
    chosen[found] = True
    counts: dict[int, list[int]] = {}
    for image, instance in sorted(set(zip(images.tolist(), instances.tolist(), strict=True))):
        own = (images == image) & (instances == instance)
        number = int((chosen & own).sum())
        counts.setdefault(image, []).append(number)
        # The surest of each instance.
        best = quality[own].sort(descending=True).values[:number].tolist()
        assert best == quality[own & chosen].sort(descending=True).values.tolist()
    expected: dict[int, list[int]] = {}
    for (image, _), number in fair_share(instances.tolist(), images.tolist(), limit).items():
        expected.setdefault(image, []).append(number)
    # Who is first among equals does not matter.
    assert _shares(counts) == _shares(expected)


def _shares(counts: dict[int, list[int]]) -> list[list[int]]:
    return sorted(sorted(numbers) for numbers in counts.values() if sum(numbers))
