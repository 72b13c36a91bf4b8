"""Losses between matched boxes, on top of torchvision."""

from collections.abc import Callable

import torch
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss


def diou_loss(
    boxes1: torch.Tensor, boxes2: torch.Tensor, reduction: str = "none", eps: float = 1e-7
) -> torch.Tensor:
    """Distance-IoU loss (arXiv:1911.08287, equation 7): 1 - IoU + normalised centre distance.

    Args:
        boxes1: (N, 4) or (4,) corners.
        boxes2: likewise.
        reduction: "none", "mean" (0 for N = 0) or "sum".
        eps: keeps divisions away from zero.

    Returns:
        (N,) or a scalar for "none", else a scalar.

    Raises:
        ValueError: another reduction.
        AssertionError: a box whose right or bottom lies before its left or top.
    """
    return _reduced(distance_box_iou_loss, boxes1, boxes2, reduction, eps)


def ciou_loss(
    boxes1: torch.Tensor, boxes2: torch.Tensor, reduction: str = "none", eps: float = 1e-7
) -> torch.Tensor:
    """Complete-IoU loss (arXiv:1911.08287, equation 10): DIoU plus a term for aspect ratios.

    Arguments, result and errors are those of :func:`diou_loss`.
    """
    return _reduced(complete_box_iou_loss, boxes1, boxes2, reduction, eps)


def _reduced(
    loss: Callable[..., torch.Tensor],
    boxes1: torch.Tensor,
    boxes2: torch.Tensor,
    reduction: str,
    eps: float,
) -> torch.Tensor:
    """The loss; AssertionError for a box with a negative side, whose loss would mean nothing."""
    valid = bool((boxes1[..., 2:] >= boxes1[..., :2]).all())
    assert valid, "a box has its right or bottom side before its left or top side"
    result = loss(boxes1.reshape(-1, 4), boxes2.reshape(-1, 4), reduction=reduction, eps=eps)
    return result.reshape(boxes1.shape[:-1]) if reduction == "none" else result
