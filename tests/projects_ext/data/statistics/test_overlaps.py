"""Nearly equal boxes, compared with the obvious way to find them."""

import itertools

import numpy as np
import pytest

from projects_ext.data.statistics import overlaps
from projects_ext.data.statistics.overlaps import near_duplicates


def all_pairs(boxes: np.ndarray, images: np.ndarray, iou: float) -> set[tuple[int, int]]:
    found = set()
    for i, j in itertools.combinations(range(len(boxes)), 2):
        a, b = boxes[i], boxes[j]
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        if images[i] != images[j] or width <= 0 or height <= 0:
            continue
        areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
        if width * height >= iou * (sum(areas) - width * height):
            found.add((i, j))
    return found


@pytest.mark.parametrize("at_once", [overlaps._PAIRS_AT_ONCE, 7])
@pytest.mark.parametrize("iou", [0.5, 0.9, 1.0])
def test_same_as_all_pairs(iou: float, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "_PAIRS_AT_ONCE", at_once)
    random = np.random.default_rng(0)
    low = random.integers(0, 3, (300, 2)).astype(float)
    boxes = np.hstack([low, low + random.integers(1, 6, (300, 2))])
    images = random.integers(0, 5, 300)
    found = near_duplicates(boxes, images, iou)
    expected = all_pairs(boxes, images, iou)
    assert len(expected) > 10
    assert len(found) == len(expected)
    assert set(map(tuple, found.tolist())) == expected


def test_most_similar_first() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9.5], [50, 0, 60, 10], [50, 0, 60, 10]], float)
    assert near_duplicates(boxes, np.zeros(4, int), 0.9).tolist() == [[2, 3], [0, 1]]


def test_boxes_without_area_and_none_at_all() -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [np.nan] * 4, [np.nan] * 4])
    assert near_duplicates(boxes, np.zeros(4, int), 0.9).shape == (0, 2)
    assert near_duplicates(np.zeros((0, 4)), np.zeros(0, int), 0.9).shape == (0, 2)
