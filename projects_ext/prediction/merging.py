"""Objects found in overlapping tiles become the objects of the whole image.

Two detections of different tiles are the same object if they agree where both tiles look: their
boxes (or masks), cut to the part that the tiles share, have a large IoU. In contrast to the plain
IoU this also holds for an object that one tile sees whole and the other in part; in contrast to
intersection over the smaller area, an object in front of a larger one of its class survives.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .objects import MaskCrop, Objects, union

IOU = 0.5
"""From which IoU on, where both tiles look, two detections are the same object."""
PART = 0.7
"""How much of a cut detection lies in the box of another one that it belongs to."""
_MARGIN = 0.02
"""A box that comes this near to its tile's inner border, in tile sizes, counts as cut by it."""
_CHUNK = 2000


@dataclass(frozen=True)
class Candidates:
    """Detections of all tiles, in coordinates of the image.

    Attributes:
        objects: all of them.
        tiles: (N, 4) the tile that each is from: x0, y0, x1, y1.
        coarse: (N,) bool: from the whole image at a reduced size, less exact than the tiles'.
    """

    objects: Objects
    tiles: np.ndarray
    coarse: np.ndarray

    @property
    def cut(self) -> np.ndarray:
        """(N,) bool: those that an inner border of their tile may cut off."""
        boxes, tiles = self.objects.boxes, self.tiles
        margin = np.maximum(4.0, _MARGIN * (tiles[:, 2:] - tiles[:, :2]))
        size = (self.objects.width, self.objects.height)
        low = (boxes[:, :2] < tiles[:, :2] + margin) & (tiles[:, :2] > 0)
        high = (boxes[:, 2:] > tiles[:, 2:] - margin) & (tiles[:, 2:] < size)
        return (low | high).any(axis=1)


def merge(candidates: Candidates) -> Objects:
    """Each object once.

    An object that a tile shows whole is taken from there, and what other tiles see of it is
    dropped. What all tiles cut is put together: the box around its parts, all pixels of their masks
    and the highest of their scores.

    Returns:
        by falling score.
    """
    objects, cut = candidates.objects, candidates.cut
    links = _links(candidates, cut)
    # Tiles see more than the reduced image; what is cut has no say about what is whole.
    order = np.lexsort((-objects.scores, candidates.coarse, cut))
    dropped = np.zeros(len(objects), dtype=bool)
    taken = np.zeros(len(objects), dtype=bool)
    groups = []
    for index in order.tolist():
        if dropped[index] or taken[index]:
            continue
        if cut[index]:
            group = _connected(index, links, dropped, taken)
        else:
            group = [index]
            for other, same_class in links.get(index, ()):
                if same_class or (cut[other] and objects.scores[other] < objects.scores[index]):
                    dropped[other] = True
        taken[group] = True
        groups.append(group)
    merged = [_join(objects, group) for group in groups]
    return _collect(objects, groups, merged)


def _connected(
    start: int, links: dict[int, list[tuple[int, bool]]], dropped: np.ndarray, taken: np.ndarray
) -> list[int]:
    """A cut detection with all that it is linked to, directly or by others of its class."""
    group, seen = [start], {start}
    for index in group:  # it grows meanwhile
        for other, same_class in links.get(index, ()):
            if same_class and other not in seen and not dropped[other] and not taken[other]:
                seen.add(other)
                group.append(other)
    return group


def _join(objects: Objects, group: list[int]) -> tuple[np.ndarray, MaskCrop | None]:
    """Box and mask of the parts together."""
    boxes = objects.boxes[group]
    box = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    if objects.masks is None:
        return box, None
    if len(group) == 1:
        return box, objects.masks[group[0]]
    return box, union([objects.masks[index] for index in group])


def _collect(
    objects: Objects, groups: list[list[int]], merged: list[tuple[np.ndarray, MaskCrop | None]]
) -> Objects:
    best = [max(group, key=lambda index: objects.scores[index]) for group in groups]
    masks = None if objects.masks is None else [mask for _, mask in merged if mask is not None]
    boxes = np.array([box for box, _ in merged]).reshape(-1, 4)
    found = Objects(
        objects.height, objects.width, boxes, objects.scores[best], objects.classes[best], masks
    )
    return found[np.argsort(-found.scores, kind="stable")]


def _links(candidates: Candidates, cut: np.ndarray) -> dict[int, list[tuple[int, bool]]]:
    """For each detection the others that are the same object, and whether the class is the same."""
    objects = candidates.objects
    links: dict[int, list[tuple[int, bool]]] = {}
    for first, second in _overlapping(candidates):
        shared = _common(candidates.tiles[first], candidates.tiles[second])
        a, b = (_common(objects.boxes[index], shared) for index in (first, second))
        inside = _area(_common(a, b))
        agree = inside >= IOU * np.maximum(_area(a) + _area(b) - inside, 1e-9)
        same_class = objects.classes[first] == objects.classes[second]
        part = _is_part(objects, first, second, cut) & same_class
        both_cut = np.flatnonzero(cut[first] & cut[second] & same_class)
        if objects.masks is not None:
            for pair in both_cut[inside[both_cut] > 0].tolist():
                i, j = first[pair], second[pair]
                overlap = _mask_iou(objects.masks[i], objects.masks[j], shared[pair])
                if overlap is not None:
                    agree[pair], part[pair] = overlap >= IOU, False
        for pair in np.flatnonzero(agree | part).tolist():
            i, j, same = int(first[pair]), int(second[pair]), bool(same_class[pair])
            links.setdefault(i, []).append((j, same))
            links.setdefault(j, []).append((i, same))
    return links


def _is_part(
    objects: Objects, first: np.ndarray, second: np.ndarray, cut: np.ndarray
) -> np.ndarray:
    """Whether the smaller one of each pair is cut and lies in the larger one's box."""
    a, b = objects.boxes[first], objects.boxes[second]
    first_smaller = _area(a) < _area(b)
    smaller_cut = np.where(first_smaller, cut[first], cut[second])
    return smaller_cut & (_area(_common(a, b)) >= PART * np.minimum(_area(a), _area(b)))


def _overlapping(candidates: Candidates) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of detections of different tiles whose boxes overlap, in chunks."""
    boxes, tiles = candidates.objects.boxes, candidates.tiles
    order = np.argsort(boxes[:, 0], kind="stable")
    left = boxes[order, 0]
    # Those that begin to the right of a box's left and to the left of its right edge follow it.
    ends = np.searchsorted(left, boxes[order, 2])
    for start in range(0, len(order), _CHUNK):
        counts = np.maximum(ends[start : start + _CHUNK] - np.arange(start, start + _CHUNK)[
            : len(ends) - start] - 1, 0)  # fmt: skip
        rank = np.repeat(np.arange(start, start + len(counts)), counts)
        steps = np.arange(len(rank)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        first, second = order[rank], order[rank + steps]
        keep = (boxes[first, 1] < boxes[second, 3]) & (boxes[second, 1] < boxes[first, 3])
        keep &= (tiles[first] != tiles[second]).any(axis=1)
        yield first[keep], second[keep]


def _common(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The common parts of rectangles (n, 4)."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    return np.concatenate([low, np.maximum(low, high)], axis=1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _mask_iou(a: MaskCrop, b: MaskCrop, area: np.ndarray) -> float | None:
    """IoU of two masks in a rectangle; None if there is nothing of either in it."""
    corners = np.array([a.corners, b.corners])
    x0, y0 = np.maximum(np.floor(area[:2]), corners[:, :2].min(axis=0)).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(area[2:]), corners[:, 2:].max(axis=0)).astype(int).tolist()
    first, second = a.within(x0, y0, x1, y1), b.within(x0, y0, x1, y1)
    either = int(np.count_nonzero(first | second))
    return np.count_nonzero(first & second) / either if either else None
