"""What the numbers in annotations show: boxes and areas that cannot be, or are hardly meant."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from .findings import Describe, Finding
from .shapes import Fault, Mask, as_float

TOLERANCE = 1.0
"""Pixels by which a box or a mask may end outside its image without a word."""
FARTHEST = 10
"""Sizes of its image by which a box may end outside it; one farther away is no box."""
LEAST_OVERLAP = 0.5
"""IoU of a box with the box around its mask, below which they do not belong together."""
MANY_PIXELS = 100
"""A box of as many has an object of at least one pixel."""


def find_in_boxes(
    describe: Describe, masks: Sequence[Mask | Fault | None], sizes: np.ndarray
) -> Iterator[Finding]:
    """What the boxes show: (N, 2) sizes are the height and width of each one's image."""
    annotations = describe.annotations
    if not annotations:
        return
    boxes = np.array([[as_float(v) for v in a["bbox"]] for a in annotations])
    finite = np.isfinite(boxes).all(1)
    yield from describe(
        np.flatnonzero(~finite),
        "has the bbox {bbox}, which is not finite",
        "write x, y, width and height in pixels",
        "leave out",
    )
    flat = finite & ~(boxes[:, 2:] > 0).all(1)
    yield from describe(
        np.flatnonzero(flat),
        "has the bbox {bbox}, which has no area",
        "correct its width and height, or take the annotation out",
        "leave out",
    )
    ends = np.hstack([-boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - sizes[:, ::-1]])
    far = finite & (ends > FARTHEST * np.tile(sizes[:, ::-1], 2)).any(1)
    yield from describe(
        np.flatnonzero(far),
        "has the bbox {bbox}, which is far outside its image",
        "write x, y, width and height in pixels",
        "leave out",
    )
    # Nothing of the box is left when it is clipped to the image: training would drop it in silence,
    # and evaluation would count it as missed. Comparisons with unknown sizes are False.
    away = (boxes[:, :2] >= sizes[:, ::-1]).any(1) | (boxes[:, :2] + boxes[:, 2:] <= 0).any(1)
    away &= finite & ~flat & ~far
    yield from describe(
        np.flatnonzero(away),
        "has the bbox {bbox}, of which nothing is inside its image",
        "write x, y, width and height in pixels, or take the annotation out",
        "leave out",
    )
    usable = np.where((finite & ~far & ~away)[:, None], boxes, np.nan)
    yield from _suspicious_boxes(describe, usable, masks, sizes)
    yield from _suspicious_areas(describe, usable, sizes)


def _suspicious_boxes(
    describe: Describe, boxes: np.ndarray, masks: Sequence[Mask | Fault | None], sizes: np.ndarray
) -> Iterator[Finding]:
    width_height = sizes[:, ::-1]
    ends = boxes[:, :2] + boxes[:, 2:]
    # Comparisons with NaN (unknown sizes) are False.
    beyond = (ends > width_height + TOLERANCE).any(1) | (boxes[:, :2] < -TOLERANCE).any(1)
    corners = (boxes[:, 2:] > boxes[:, :2]).all(1)
    corners &= (boxes[:, 2:] <= width_height + TOLERANCE).all(1)
    extents = np.array(
        [mask.extent if isinstance(mask, Mask) else (math.nan,) * 4 for mask in masks]
    )
    apart = _are_apart(np.hstack([boxes[:, :2], ends]), extents)
    # Far from the upper left they overlap by less; near it they still are not the mask's.
    with np.errstate(invalid="ignore"):
        exact = np.abs(boxes - extents).max(1) <= TOLERANCE
        apart |= exact & (np.abs(ends - extents[:, 2:]).max(1) > 2 * TOLERANCE)
    fit_as_corners = apart & corners & ~_are_apart(boxes, extents)
    if (beyond.mean() > 0.5 and corners.mean() > 0.9) or fit_as_corners.mean() > 0.5:
        remedy = "most look like corners (x1, y1, x2, y2): write x, y, width and height"
    else:
        remedy = "correct x, y, width and height where that is a mistake"
    yield from describe(
        np.flatnonzero(beyond), "has the bbox {bbox}, which ends outside its image", remedy, "warn"
    )
    normalized = (boxes >= 0).all(1) & (boxes <= 1).all(1) & (width_height > 2).all(1)
    normalized &= ~(extents > 1).any(1)
    yield from describe(
        np.flatnonzero(normalized),
        "has the bbox {bbox}, which looks normalized to 0 … 1",
        "write pixels: multiply x and width by the image's width, y and height by its height",
        "warn",
    )
    yield from describe(
        np.flatnonzero(apart & ~beyond & ~normalized),
        "has the bbox {bbox}, which is not the one around its mask",
        remedy,
        "warn",
    )
    leaving = (extents[:, 2:] > width_height + TOLERANCE).any(1)
    leaving |= (extents[:, :2] < -TOLERANCE).any(1)
    yield from describe(
        np.flatnonzero(leaving),
        "has a mask that ends outside its image",
        "it is cut off there; correct it where that is a mistake",
        "warn",
        of_masks=True,
    )


def _are_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which boxes (N, 4) of corners differ by more than rounding and overlap by less than half."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        common = (high - low).clip(min=0).prod(1)
        areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (first, second)]
        overlap = common / (areas[0] + areas[1] - common)
        return (overlap < LEAST_OVERLAP) & (np.abs(first - second).max(1) > 2 * TOLERANCE)


def _suspicious_areas(
    describe: Describe, boxes: np.ndarray, sizes: np.ndarray
) -> Iterator[Finding]:
    areas = np.array([as_float(a.get("area", math.nan)) for a in describe.annotations])
    wrong = (areas <= 0) | (areas > (sizes + 2 * TOLERANCE).prod(1))
    # Less than a pixel of a box of many is relative to something, e.g. to the image.
    wrong |= (areas < 1) & (boxes[:, 2:].prod(1) >= MANY_PIXELS)
    what = "has the area {area}, which its object cannot have"
    for finding in describe(np.flatnonzero(wrong), what, "it is computed instead", "warn"):
        yield replace(finding, of_area=True)
