"""Pairs of boxes that are nearly the same."""

import itertools
from collections.abc import Iterator

import numpy as np

_PAIRS_AT_ONCE = 2_000_000


def near_duplicates(boxes: np.ndarray, images: np.ndarray, iou: float) -> np.ndarray:
    """Pairs of boxes of the same image that overlap heavily.

    Boxes are sorted by image and left edge. Where two overlap by ``iou``, their left edges differ
    by at most ``1 - iou`` times the width of the one further left, so each box is compared with
    few others.

    Args:
        boxes: (N, 4) x0, y0, x1, y1; those without area are in no pair.
        images: (N,) index of the image of each.
        iou: in (0, 1], the least intersection over union.

    Returns:
        (P, 2) indices of the pairs, the lower first, by falling overlap.
    """
    useful = np.flatnonzero(np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1))
    order = useful[np.lexsort((boxes[useful, 0], images[useful]))]
    found = [np.zeros((0, 2), dtype=int)]
    overlaps = [np.zeros(0)]
    for first, second in _candidates(boxes[order], images[order], iou):
        values = _iou(boxes[order[first]], boxes[order[second]])
        kept = values >= iou
        found.append(np.stack([order[first[kept]], order[second[kept]]], axis=1))
        overlaps.append(values[kept])
    pairs = np.sort(np.concatenate(found), axis=1)
    return pairs[np.argsort(-np.concatenate(overlaps), kind="stable")]


def _candidates(
    boxes: np.ndarray, images: np.ndarray, iou: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of pairs that may overlap, of boxes sorted by image and left edge."""
    count = len(boxes)
    ends = np.zeros(count, dtype=int)
    starts = np.append(np.unique(images, return_index=True)[1], count)
    furthest = boxes[:, 0] + (1 - iou) * (boxes[:, 2] - boxes[:, 0])
    for start, stop in itertools.pairwise(starts):
        ends[start:stop] = start + np.searchsorted(
            boxes[start:stop, 0], furthest[start:stop], side="right"
        )
    partners = np.maximum(ends - np.arange(count) - 1, 0)
    start = 0
    while start < count:
        reached = np.cumsum(partners[start:])
        stop = start + max(1, int(np.searchsorted(reached, _PAIRS_AT_ONCE, side="right")))
        lengths = partners[start:stop]
        first = np.repeat(np.arange(start, stop), lengths)
        offsets = np.arange(len(first)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        yield first, first + 1 + offsets
        start = stop


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of pairs of boxes (P, 4): (P,)."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return shared / (areas[0] + areas[1] - shared)
