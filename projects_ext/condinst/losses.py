"""The losses of CondInst (arXiv 2003.05664, section 3.3)."""

import torch
from fvcore.nn import giou_loss, sigmoid_focal_loss
from torch import Tensor
from torch.nn import functional as F

from detectron2.utils.comm import get_world_size


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a scalar over all processes, without a gradient."""
    value = value.detach().float()
    if get_world_size() == 1:
        return value
    value = value.clone()
    torch.distributed.all_reduce(value)
    return value / get_world_size()


def one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """Targets like ``logits`` (…, K) from labels (…); zero for labels that are none of the K."""
    classes = torch.arange(logits.shape[-1], device=labels.device)
    return (labels[..., None] == classes).to(logits.dtype)


def focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """The sum of the focal loss of class logits (…, K) with labels (…), K or more: background."""
    logits = logits.float()
    return sigmoid_focal_loss(
        logits, one_hot(labels, logits), alpha=alpha, gamma=gamma, reduction="sum"
    )


def location_losses(
    distances: Tensor,
    center_logits: Tensor,
    target_distances: Tensor,
    target_center: Tensor,
    count: Tensor,
) -> dict[str, Tensor]:
    """GIoU of boxes, weighted by centerness, and binary cross entropy of centerness.

    Args:
        distances: (S, 4) to the sides of the boxes, in strides; S may be 0.
        center_logits: (S,).
        target_distances: (S, 4).
        target_center: (S,), their centerness.
        count: what the centerness loss is divided by.

    Returns:
        ``loss_box_reg``, over the sum of the weights (the mean over processes), and
        ``loss_centerness``.
    """
    signs = distances.new_tensor([-1, -1, 1, 1])
    overlap = giou_loss(distances.float() * signs, target_distances * signs, reduction="none")
    total_weight = mean_over_processes(target_center.sum()).clamp(min=1e-6)
    center = F.binary_cross_entropy_with_logits(
        center_logits.float(), target_center, reduction="sum"
    )
    return {
        "loss_box_reg": (overlap * target_center).sum() / total_weight,
        "loss_centerness": center / count,
    }


def positives(count: int, like: Tensor) -> Tensor:
    """The mean of a count over processes, at least 1; on the device of ``like``."""
    return mean_over_processes(like.new_tensor(count, dtype=torch.float32)).clamp(min=1)


def dice_loss(probabilities: Tensor, targets: Tensor, eps: float = 1e-5) -> Tensor:
    """1 less the overlap of masks (V-Net, arXiv 1606.04797, Eq. 3).

    Args:
        probabilities: (I, …).
        targets: (I, …) bool.
        eps: keeps the denominator from zero.

    Returns:
        (I,).
    """
    probabilities, targets = probabilities.flatten(1), targets.flatten(1)
    both = torch.linalg.vecdot(probabilities, targets.to(probabilities.dtype))
    sizes = torch.linalg.vecdot(probabilities, probabilities) + targets.sum(dim=1)
    return 1 - 2 * both / (sizes + eps)
