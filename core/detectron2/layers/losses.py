"""Losses between matched boxes, on top of torchvision."""

import torch
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss


def diou_loss(
    boxes1: torch.Tensor, boxes2: torch.Tensor, reduction: str = "none", eps: float = 1e-7
) -> torch.Tensor:
    """Distance-IoU loss (arXiv:1911.08287, equation 7): 1 - IoU + normalised centre distance.

    Args:
        boxes1: (N, 4) corners.
        boxes2: (N, 4) corners.
        reduction: "none", "mean" (0 for N = 0) or "sum".
        eps: keeps divisions away from zero.

    Returns:
        (N,) for "none", else a scalar.

    Raises:
        ValueError: another reduction, or a box whose right or bottom lies before its left or top.
    """
    _check_corners(boxes1)
    return distance_box_iou_loss(boxes1, boxes2, reduction=reduction, eps=eps)


def ciou_loss(
    boxes1: torch.Tensor, boxes2: torch.Tensor, reduction: str = "none", eps: float = 1e-7
) -> torch.Tensor:
    """Complete-IoU loss (arXiv:1911.08287, equation 10): DIoU plus a term for aspect ratios.

    Arguments, result and errors are those of :func:`diou_loss`.
    """
    _check_corners(boxes1)
    return complete_box_iou_loss(boxes1, boxes2, reduction=reduction, eps=eps)


def _check_corners(boxes: torch.Tensor) -> None:
    """Raises ValueError for a box with a negative side: its loss would mean nothing."""
    if bool((boxes[:, 2:] < boxes[:, :2]).any()):
        raise ValueError("a box has its right or bottom side before its left or top side")
