"""Ranking and suppressing boxes with as many results as inputs, for exported programs.

Shapes: N boxes. What takes no part is marked: sizes must not depend on it.
"""

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms

GROUPS_IN_A_ROW = 9
"""Of the squares that keep boxes of different groups apart."""

NONE = -1.0
"""The score of what is no detection."""


def as_number(value: Any, like: Tensor) -> Tensor:
    """A tensor of one number, of the type of ``like``, from a number, a symbol or such a tensor."""
    if isinstance(value, Tensor):
        return value.to(like.dtype)
    return torch.scalar_tensor(value, dtype=like.dtype)


def clipped(boxes: Tensor, size: Any) -> Tensor:
    """Boxes (..., 4) within an image of a height and a width."""
    height, width = (as_number(edge, boxes) for edge in size)
    return boxes.clamp(min=0).minimum(torch.stack((width, height, width, height)))


def larger_than(boxes: Tensor, side: float = 0.0) -> Tensor:
    """Which boxes (N, 4) are wider and higher than so many pixels: (N,) bool."""
    return (boxes[:, 2:] - boxes[:, :2] > side).all(dim=1)


def finite(x: Tensor) -> Tensor:
    """Which rows (N, D) hold neither infinity nor what is no number: (N,) bool."""
    return (x.abs() < float("inf")).all(dim=1)


def apart(boxes: Tensor, groups: Tensor) -> Tensor:
    """Boxes (N, 4) moved by their groups (N,) int64, so that no two groups overlap.

    Each group has a square of its own. If all were in one row, offsets would cost more digits.
    """
    low = boxes.min()
    span = boxes.max() - low + 1
    row = torch.div(groups, GROUPS_IN_A_ROW, rounding_mode="floor")
    column = groups - row * GROUPS_IN_A_ROW
    square = torch.stack((column, row, column, row), dim=1)
    return boxes - low + square.to(boxes.dtype) * span


def kept_by_nms(boxes: Tensor, scores: Tensor, usable: Tensor, threshold: float) -> Tensor:
    """Which boxes non-maximum suppression leaves.

    Exported, it needs two boxes that stay: two far from all others are added. What is not usable
    takes no part, so that an image without any box is like all others.

    Args:
        boxes: (N, 4), finite.
        scores: (N,).
        usable: (N,) bool.
        threshold: of two boxes with a higher IoU, the one with the lower score goes.

    Returns:
        (N,) bool.
    """
    own = boxes - torch.where(usable[:, None], boxes, 0.0).min() + 4
    added = boxes.new_tensor([[0.0, 0, 1, 1], [2, 2, 3, 3]])
    # What is no box lies on the first of the added ones, and goes for it.
    rows = torch.cat((torch.where(usable[:, None], own, added[:1]), added))
    first = scores.new_full((2,), float("inf"))
    order = torch.cat((torch.where(usable, scores, float("-inf")), first))
    stays = torch.zeros_like(order).scatter(0, nms(rows, order, threshold), 1.0)
    return (stays[:-2] > 0) & usable
