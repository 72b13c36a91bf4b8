"""Non-maximum suppression, on top of torchvision."""

import torch
from torchvision.ops import batched_nms as tv_batched_nms
from torchvision.ops import nms

from detectron2.layers.wrappers import disable_torch_compiler  # noqa: F401
from detectron2.utils.unavailable import unavailable

__all__ = ["batched_nms", "nms"]


def batched_nms(
    boxes: torch.Tensor, scores: torch.Tensor, idxs: torch.Tensor, iou_threshold: float
) -> torch.Tensor:
    """Non-maximum suppression among boxes of the same group only.

    Args:
        boxes: (N, 4), corners in pixels.
        scores: (N,).
        idxs: (N,), the group of each box (its class, or feature level).
        iou_threshold: of two boxes with more overlap than that, the one with the lower score goes.

    Returns:
        int64 positions of the boxes that stay, by falling score.

    Raises:
        ValueError: ``boxes`` has another shape.
    """
    if boxes.shape[-1] != 4:
        raise ValueError(f"batched_nms expects boxes of shape (N, 4), got {boxes.shape}")
    # float32: groups are kept apart by offsets, which half precision could not represent.
    return tv_batched_nms(boxes.float(), scores.float(), idxs, iou_threshold)


(batched_nms_rotated, nms_rotated) = unavailable(
    __name__, "rotated boxes", "batched_nms_rotated nms_rotated"
)
