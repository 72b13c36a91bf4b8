"""Resizing within an exported program, pixel by pixel what evaluation gives.

Shapes: an image of H x W pixels is resized to h x w, and lies at the left top of an output of
H' x W' pixels, zeros beside it. H, W, h and w are tensors of one integer, so that one program
serves all sizes. Numbers are kept where 32 bits hold them exactly: some runtimes have no more.
"""

import functools
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

HALF_BITS = 11
"""Pillow's weights have 22 bits: two halves, whose products with pixels float32 sums exactly."""

_FINE = 2**HALF_BITS
_ONE = 2048  # OpenCV's weight of 1


def as_size(count: Tensor) -> Any:
    """A number of positions that depends on the image, as an exporter takes it.

    It is a symbol of its own for the exporter, so that sides are plain multiples of it.
    """
    if torch.jit.is_tracing():
        return count
    number = count.item()
    if not isinstance(number, int):
        torch._check(number >= 1)
        torch._check(number <= 2**16)
    return number


def double(x: Tensor) -> Tensor:
    """In float64."""
    return x.to(torch.float64)


def shortest_edge_size(
    height: Tensor, width: Tensor, short: int, longest: int
) -> tuple[Tensor, Tensor]:
    """The size that ``ResizeShortestEdge`` gives an image.

    Args:
        height, width: of the image, int64.
        short: the shorter edge wanted.
        longest: the longer edge's limit, which is stronger.

    Returns:
        height and width, int64.
    """
    lower, upper = torch.minimum(height, width), torch.maximum(height, width)
    # In floating point, as Python does it: torch divides a number by a tensor in another way.
    scaled = torch.full_like(double(lower), short) / double(lower) * double(upper)
    limited = upper * short > lower * longest
    long_edge = torch.where(
        limited, torch.full_like(upper, longest), _rounded(scaled, upper * short, lower)
    )
    # A very thin image would round to nothing.
    shrunk = _rounded(
        short * (torch.full_like(scaled, longest) / scaled), lower * longest, upper
    ).clamp(min=1)
    short_edge = torch.where(limited, shrunk, torch.full_like(lower, short))
    # Images without a longer edge have two equal ones.
    upright = height > width
    return torch.where(upright, long_edge, short_edge), torch.where(upright, short_edge, long_edge)


def _rounded(value: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
    """``int(value + 0.5)`` of a quotient, whose floating point counts only where it is a half."""
    twice = 2 * numerator + denominator
    exact = torch.div(twice, 2 * denominator, rounding_mode="floor")
    halfway = exact * 2 * denominator == twice
    return torch.where(halfway, torch.floor(value + 0.5).to(torch.int64), exact)


def pillow_weights(length: Tensor, new: Tensor, old_at: Tensor, new_at: Tensor) -> Tensor:
    """Pillow's weights of an antialiased bilinear resize, in units of 2**-22, as it rounds them.

    Args:
        length: of the old edge.
        new: of the new one.
        old_at: (L,) the old positions, 0 and up.
        new_at: (P,) the new ones, as many as the output has.

    Returns:
        (P, L) float64, whole numbers; rows beyond the new edge are zeros.
    """
    ratio = double(length) / double(new)
    reach = ratio.clamp(min=1.0)
    centre = ((double(new_at) + 0.5) * ratio)[:, None]
    position = double(old_at)[None]
    first = torch.floor(centre - reach + 0.5)
    last = torch.floor(centre + reach + 0.5)
    seen = (position >= first) & (position < last) & (new_at < new)[:, None]
    away = ((position - centre + 0.5) * (torch.ones_like(reach) / reach)).abs()
    height = torch.where(seen, (1.0 - away).clamp(min=0.0), 0.0)
    total = height.sum(dim=1, keepdim=True)
    return torch.floor(height / torch.where(total > 0, total, 1.0) * _FINE**2 + 0.5)


def weighted(weights: Tensor, lines: Tensor) -> Tensor:
    """Weighted sums of lines of pixels, rounded to whole numbers as Pillow does.

    Args:
        weights: (P, L) of :func:`pillow_weights`.
        lines: (C, L, N) float32 of whole numbers, 0 to 255.

    Returns:
        (C, P, N), the same.
    """
    coarse = torch.floor(weights / _FINE)
    fine = weights - coarse * _FINE
    above = coarse.to(torch.float32) @ lines
    below = fine.to(torch.float32) @ lines
    return _cut(above + _cut(below, _FINE) + _FINE // 2, _FINE)


def resize_as_pillow(pixels: Tensor, size: Any, new: Any, new_at: Any) -> Tensor:
    """Resize (C, H, W) float32 to (C, H', W'), in the order that the installed Pillow takes.

    Pillow resizes columns first, and rounds in between. From version 13 on it shrinks rows first
    where the height loses more than twice as many pixels as the width.

    Args:
        pixels: whole numbers, 0 to 255.
        size: the tensors (H, W).
        new: the tensors (h, w).
        new_at: the rows (H',) and columns (W',) of the output.
    """
    if not pillow_shrinks_rows_first():
        return _in_order(pixels, (1, 0), size, new, new_at)
    lost = size[0] - new[0]
    rows_first = (lost > 0) & (lost > 2 * (size[1] - new[1]))
    # A program has no branches: of what is in vain, one line goes through the first step.
    rows = torch.arange(as_size(torch.where(rows_first, 1, size[0])))
    columns = torch.arange(as_size(torch.where(rows_first, size[1], 1)))
    usual = _in_order(pixels.index_select(1, rows), (1, 0), size, new, new_at)
    other = _in_order(pixels.index_select(2, columns), (0, 1), size, new, new_at)
    return torch.where(rows_first, other, usual)


def _in_order(pixels: Tensor, axes: tuple[int, int], size: Any, new: Any, new_at: Any) -> Tensor:
    """Resize along one axis (0: rows, 1: columns), then along the other."""
    for axis in axes:
        old_at = torch.arange(pixels.shape[1 + axis])
        weights = pillow_weights(size[axis], new[axis], old_at, new_at[axis])
        if axis == 1:
            pixels = weighted(weights, pixels.transpose(1, 2)).transpose(1, 2)
        else:
            pixels = weighted(weights, pixels)
    return pixels


@functools.cache
def pillow_shrinks_rows_first() -> bool:
    """Whether the installed Pillow does so where that is faster: tried, not looked up."""
    stripes = np.arange(64 * 4).reshape(64, 4) * 37 % 256
    image = Image.fromarray(stripes.astype(np.uint8))
    rows_first = image.resize((4, 13), Image.Resampling.BILINEAR).resize(
        (3, 13), Image.Resampling.BILINEAR
    )
    return image.resize((3, 13), Image.Resampling.BILINEAR).tobytes() == rows_first.tobytes()


def resize_as_opencv(pixels: Tensor, size: Any, new: Any, new_at: Any) -> Tensor:
    """The same as OpenCV does it, see :mod:`projects_ext.data.opencv_resize`."""
    before, beyond = _positions(size[1], new[1], new_at[1])
    outside = (before < 0) | (before >= size[1] - 1)
    beyond = torch.where(outside, 0.0, beyond)
    left = before.clamp(min=0).minimum(size[1] - 1)
    right = (left + 1).minimum(size[1] - 1)
    narrow = pixels.index_select(2, left) * _fixed_point(1 - beyond)
    narrow = narrow + pixels.index_select(2, right) * _fixed_point(beyond)
    narrow = _cut(narrow, 16)

    before, beyond = _positions(size[0], new[0], new_at[0])
    above = before.clamp(min=0).minimum(size[0] - 1)
    below = (before + 1).clamp(min=0).minimum(size[0] - 1)
    upper = _product(narrow.index_select(1, above), _fixed_point(1 - beyond)[:, None])
    lower = _product(narrow.index_select(1, below), _fixed_point(beyond)[:, None])
    return _cut(upper + lower + 2, 4)


def _positions(length: Tensor, new: Tensor, new_at: Tensor) -> tuple[Tensor, Tensor]:
    """The old pixel at or before each new one's centre (int64), and how far beyond (float32)."""
    scale = torch.ones_like(double(new)) / (double(new) / double(length))
    centres = ((double(new_at) + 0.5) * scale - 0.5).to(torch.float32)
    before = centres.floor()
    return before.to(torch.int64), centres - before


def _fixed_point(share: Tensor) -> Tensor:
    return (share * _ONE).round()


def _product(wide: Tensor, weight: Tensor) -> Tensor:
    """The product of 27 bits without its last 16, where no number has more than 24."""
    upper = _cut(wide, 256)
    lower = wide - upper * 256
    return _cut(upper * weight + _cut(lower * weight, 256), 256)


def _cut(x: Tensor, unit: int) -> Tensor:
    """Whole numbers divided by a power of 2, without what is left.

    Not as integers: exporters divide those in floating point, too, and there are no checks.
    """
    return torch.floor(x * (1 / unit))


def not_resized(pixels: Tensor, size: Any, new: Any, new_at: Any) -> Tensor:
    """The same image with pixels of its border beside it."""
    rows, columns = (at.minimum(edge - 1) for at, edge in zip(new_at, size, strict=True))
    return pixels.index_select(1, rows).index_select(2, columns)
