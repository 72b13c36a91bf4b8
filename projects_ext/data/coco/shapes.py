"""Masks of annotations in numbers: how far they reach, their area, and what is wrong with them.

The mask library trusts what it is given: it gets no polygon or run lengths that were not found
right here. Coordinates are x, y in pixels; run lengths go down the columns, background first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

SHORTEST_POLYGON = 6
"""Three points, each x and y."""
MARGIN = 1.0
"""How far outside its image a polygon may reach: so many times the image's width or height."""
_LONGEST_NUMBER = 7
"""Characters of a compressed run length of 32 bits."""
_CHUNK = 20_000

Size = tuple[float, float]
"""Height and width of an image; NaN where they are not known."""


@dataclass(frozen=True)
class Mask:
    """A mask without faults.

    Attributes:
        extent: its left, upper, right and lower end.
        area: in pixels.
    """

    extent: tuple[float, float, float, float]
    area: float


@dataclass(frozen=True)
class Fault:
    """What is wrong with a mask.

    Attributes:
        kind: a name for it.
        polygons: all of the mask's polygons that cannot be used, if it has polygons of numbers.
    """

    kind: str
    polygons: tuple[int, ...] = ()


def is_no_mask(segmentation: Any) -> bool:
    """Whether it says that there is no mask: none given, null or an empty list."""
    return segmentation is None or segmentation == []


def measure(segmentations: Sequence[Any], sizes: Sequence[Size]) -> list[Mask | Fault | None]:
    """Look at the masks of annotations.

    Args:
        segmentations: polygons or run lengths; or whatever else stands there.
        sizes: of each one's image.

    Returns:
        None for each that is no mask (:func:`is_no_mask`).
    """
    found: list[Mask | Fault | None] = [None] * len(segmentations)
    lists = []
    for index, segmentation in enumerate(segmentations):
        if type(segmentation) is dict:
            found[index] = _measure_runs(segmentation, sizes[index])
        elif type(segmentation) is list and segmentation:
            fault = _fault_of_structure(segmentation)
            found[index] = fault
            if fault is None:
                lists.append(index)
        elif not is_no_mask(segmentation):
            found[index] = Fault("malformed")
    for start in range(0, len(lists), _CHUNK):
        chunk = lists[start : start + _CHUNK]
        measured = _measure_polygons([segmentations[i] for i in chunk], [sizes[i] for i in chunk])
        for index, result in zip(chunk, measured, strict=True):
            found[index] = result
    return found


def _fault_of_structure(polygons: list[Any]) -> Fault | None:
    """The fault of a list that cannot be polygons of numbers."""
    if not set(map(type, polygons)) <= {list}:
        return Fault("malformed")
    types = set(map(type, chain.from_iterable(polygons)))
    pairs = len(polygons) > 2 and all(len(polygon) == 2 for polygon in polygons)
    if types == {list} or (pairs and types <= {int, float}):
        return Fault("nested")
    return None if types <= {int, float} else Fault("not numbers")


def _measure_polygons(
    segmentations: Sequence[list[Any]], sizes: Sequence[Size]
) -> Iterator[Mask | Fault]:
    """Masks of polygons of numbers, of which each has at least one, all in one go."""
    polygons = list(chain.from_iterable(segmentations))
    counts = np.array([len(segmentation) for segmentation in segmentations])
    starts = np.cumsum(counts) - counts
    lengths = np.array([len(polygon) for polygon in polygons])
    short = (lengths < SHORTEST_POLYGON) | (lengths % 2 == 1)
    stand_in = [0.0] * SHORTEST_POLYGON
    usable = [stand_in if no else p for p, no in zip(polygons, short.tolist(), strict=True)]
    extents, areas, has_area = _polygon_figures(usable)
    width_height = np.repeat(np.array(sizes, dtype=float)[:, ::-1], counts, axis=0)
    # Of an image of unknown size (NaN) nothing is outside; NaN among the coordinates is.
    outside = (extents[:, :2] < -MARGIN * width_height).any(1)
    outside |= (extents[:, 2:] > (1 + MARGIN) * width_height).any(1)
    outside |= ~np.isfinite(extents).all(1)
    outside &= ~short
    wrong = short | outside | ~has_area
    with np.errstate(invalid="ignore"):
        low = np.minimum.reduceat(extents[:, :2], starts)
        high = np.maximum.reduceat(extents[:, 2:], starts)
        area = np.add.reduceat(areas, starts)
    columns = (starts, counts, np.add.reduceat(wrong.astype(int), starts), low, high, area)
    for start, count, faults, (left, top), (right, bottom), pixels in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        if faults:
            here = slice(start, start + count)
            kind = "outside" if outside[here].any() else "flat"
            kind = "short" if short[here].any() else kind
            yield Fault(kind, tuple(np.flatnonzero(wrong[here]).tolist()))
        else:
            yield Mask((left, top, right, bottom), pixels)


def _polygon_figures(polygons: list[list[float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Extents (N, 4) and areas (N,) of polygons, and whether they have any area."""
    points = _as_floats(polygons).reshape(-1, 2)
    lengths = np.array([len(polygon) // 2 for polygon in polygons])
    starts = np.cumsum(lengths) - lengths
    extents = np.hstack([np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)])
    following = np.arange(1, len(points) + 1)
    following[starts + lengths - 1] = starts
    with np.errstate(invalid="ignore", over="ignore"):
        # From each polygon's first point: exact for coordinates far from zero, and a polygon has
        # no area if none of these triangles has.
        relative = points - np.repeat(points[starts], lengths, axis=0)
        x, y = relative.T
        crosses = x * y[following] - x[following] * y
        areas = np.abs(np.add.reduceat(crosses, starts)) / 2
        has_area = np.add.reduceat(np.abs(crosses), starts) > 1e-9
    return extents, areas, has_area


def _as_floats(polygons: list[list[float]]) -> np.ndarray:
    count = sum(map(len, polygons))
    try:
        return np.fromiter(chain.from_iterable(polygons), np.float64, count)
    except OverflowError:
        return np.fromiter(map(as_float, chain.from_iterable(polygons)), np.float64, count)


def as_float(number: float) -> float:
    """A number as a float; infinity for an integer beyond all floats."""
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def _measure_runs(segmentation: dict[str, Any], size: Size) -> Mask | Fault | None:
    if not {"size", "counts"} <= segmentation.keys():
        return Fault("malformed")
    said = segmentation["size"]
    if type(said) is not list or list(map(type, said)) != [int, int] or min(said) < 1:
        return Fault("size")
    if not np.isnan(size[0]) and (said[0], said[1]) != size:
        return Fault("size")
    runs = run_lengths(segmentation["counts"], said[0] * said[1])
    if runs is None:
        return Fault("runs")
    return _mask_of_runs(runs, said[0])


def run_lengths(counts: Any, pixels: int) -> np.ndarray | None:
    """Run lengths from a list or from COCO's compressed text.

    Args:
        counts: as the file has them.
        pixels: height times width.

    Returns:
        The lengths, background first, that fill the image exactly, only the first of them zero;
        None if these do not.
    """
    if type(counts) is list:
        if not set(map(type, counts)) <= {int} or not all(0 <= c <= pixels for c in counts):
            return None
        runs = np.array(counts, dtype=np.int64)
    else:
        decoded = _decompressed(counts) if type(counts) is str else None
        if decoded is None or (decoded < 0).any() or (decoded > pixels).any():
            return None
        runs = decoded
    if not len(runs) or runs.sum() != pixels or (runs[1:] == 0).any():
        return None
    return runs


def _decompressed(text: str) -> np.ndarray | None:
    """COCO's compressed counts: groups of characters from "0" on, each with 5 bits of a number,
    the lowest first, and a bit that another follows. From the fourth number on, each is the
    difference from the last but one.
    """
    if not text or not text.isascii():
        return None
    codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - ord("0")
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST_NUMBER:
        return None
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
    numbers -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def _mask_of_runs(runs: np.ndarray, height: int) -> Mask | Fault:
    ends = np.cumsum(runs)[1::2]
    inside = runs[1::2]
    if not len(inside):
        return Fault("flat")
    starts = ends - inside
    last = ends - 1
    if ((starts // height) != (last // height)).any():
        top, bottom = 0, height  # a run goes on in the next column
    else:
        top, bottom = int((starts % height).min()), int((last % height).max()) + 1
    left, right = int(starts[0]) // height, int(last[-1]) // height + 1
    return Mask((left, top, right, bottom), float(inside.sum()))
