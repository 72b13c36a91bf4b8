"""Boxes as differences ("deltas") to reference boxes, and the regression losses on them.

Boxes are (..., 4) tensors x0, y0, x1, y1 in pixels.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from fvcore.nn import giou_loss, smooth_l1_loss
from torch import Tensor

from detectron2.layers import cat, ciou_loss, diou_loss
from detectron2.structures import Boxes
from detectron2.utils.unavailable import unavailable

__all__ = ["Box2BoxTransform", "Box2BoxTransformLinear"]

# A box grows from 16 to 1000 pixels at the most; more would only overflow in exp.
_DEFAULT_SCALE_CLAMP = math.log(1000.0 / 16)

_IOU_LOSSES = {"giou": giou_loss, "diou": diou_loss, "ciou": ciou_loss}


def _centers_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The (x, y) centres and (width, height) of boxes (..., 4)."""
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * size, size


class Box2BoxTransform:
    """Deltas of R-CNN (Girshick et al. 2014, App. C).

    The delta of a box is the shift of its centre in units of the reference box's size, and the
    logarithm of the ratio of the sizes, each times a weight.

    Args:
        weights: factors of dx, dy, dw, dh. They make the deltas' variance about one; Fast R-CNN
            uses (10, 10, 5, 5).
        scale_clamp: dw and dh are limited to this before the exponential.
    """

    def __init__(
        self, weights: tuple[float, float, float, float], scale_clamp: float = _DEFAULT_SCALE_CLAMP
    ) -> None:
        self.weights = weights
        self.scale_clamp = scale_clamp

    def get_deltas(self, src_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        """The (N, 4) deltas that turn ``src_boxes`` (N, 4) into ``target_boxes`` (N, 4).

        Raises:
            ValueError: a source box without a positive width.
        """
        source, source_size = _centers_and_sizes(src_boxes)
        target, target_size = _centers_and_sizes(target_boxes)
        wx, wy, ww, wh = self.weights
        dx, dy = ((target - source) / source_size).unbind(-1)
        dw, dh = torch.log(target_size / source_size).unbind(-1)
        if not bool((source_size[..., 0] > 0).all()):
            raise ValueError("A source box of Box2BoxTransform.get_deltas has no positive width.")
        return torch.stack((dx * wx, dy * wy, dw * ww, dh * wh), dim=-1)

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Turn boxes by deltas.

        Args:
            deltas: (N, k * 4), k deltas for every box, e.g. one a class.
            boxes: (N, 4).

        Returns:
            (N, k * 4) boxes, in float32 whatever the deltas' type: half precision cannot tell
            apart large coordinates.
        """
        per_box = deltas.float().unflatten(-1, (-1, 4))
        center, size = _centers_and_sizes(boxes.to(per_box.dtype).unsqueeze(-2))
        wx, wy, ww, wh = self.weights
        dx, dy, dw, dh = per_box.unbind(-1)
        shift = torch.stack((dx / wx, dy / wy), dim=-1)
        scale = torch.stack((dw / ww, dh / wh), dim=-1).clamp(max=self.scale_clamp)
        new_center = shift * size + center
        half = 0.5 * (torch.exp(scale) * size)
        return torch.cat((new_center - half, new_center + half), dim=-1).reshape(deltas.shape)


class Box2BoxTransformLinear:
    """Deltas of FCOS (Tian et al. 2019, Eq. 1): distances from a centre to the box's four sides.

    Args:
        normalize_by_size: whether distances are in units of the source box's width and height
            (there, the stride) rather than in pixels.
    """

    def __init__(self, normalize_by_size: bool = True) -> None:
        self.normalize_by_size = normalize_by_size

    def get_deltas(self, src_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        """The (N, 4) distances left, top, right, bottom from the centres of ``src_boxes`` (N, 4).

        A distance is negative where the centre lies outside of the target box.
        """
        center = 0.5 * (src_boxes[:, :2] + src_boxes[:, 2:])
        distances = torch.cat((center - target_boxes[:, :2], target_boxes[:, 2:] - center), dim=1)
        return distances / self._unit(src_boxes) if self.normalize_by_size else distances

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """The (N, 4) boxes at distances ``deltas`` (N, 4) from the centres of ``boxes`` (N, 4).

        Negative distances count as zero. Computed in float32.
        """
        distances = F.relu(deltas.float())
        reference = boxes.to(distances.dtype)
        if self.normalize_by_size:
            distances = distances * self._unit(reference)
        center = 0.5 * (reference[:, :2] + reference[:, 2:])
        return torch.cat((center - distances[:, :2], center + distances[:, 2:]), dim=1)

    @staticmethod
    def _unit(boxes: Tensor) -> Tensor:
        size = boxes[:, 2:] - boxes[:, :2]
        return torch.cat((size, size), dim=1)


def _dense_box_regression_loss(
    anchors: Sequence[Boxes | Tensor], box2box_transform: Box2BoxTransform | Box2BoxTransformLinear,
    pred_anchor_deltas: Sequence[Tensor], gt_boxes: Sequence[Tensor], fg_mask: Tensor,
    box_reg_loss_type: str = "smooth_l1", smooth_l1_beta: float = 0.0,
) -> Tensor:  # fmt: skip
    """The summed box loss of a dense detector over its foreground anchors.

    Args:
        anchors: one entry a level, together R boxes.
        box2box_transform: between anchors and boxes.
        pred_anchor_deltas: one (N, Ri, 4) tensor a level.
        gt_boxes: for each of the N images, the (R, 4) boxes matched to the anchors.
        fg_mask: (N, R) booleans.
        box_reg_loss_type: ``smooth_l1`` on deltas; or ``giou``, ``diou``, ``ciou`` on boxes.
        smooth_l1_beta: where the smooth L1 loss turns from square to linear; 0 is plain L1.

    Returns:
        a scalar.

    Raises:
        ValueError: an unknown ``box_reg_loss_type``.
    """
    if box_reg_loss_type != "smooth_l1" and box_reg_loss_type not in _IOU_LOSSES:
        raise ValueError(
            f"Box regression loss '{box_reg_loss_type}' is not known; choose smooth_l1,"
            f" {', '.join(_IOU_LOSSES)}."
        )
    tensors = [level.tensor if isinstance(level, Boxes) else level for level in anchors]
    # Only foreground anchors are ever decoded or encoded.
    image_index, anchor_index = fg_mask.nonzero(as_tuple=True)
    source = cat(tensors, dim=0)[anchor_index]
    target = torch.stack(list(gt_boxes))[image_index, anchor_index]
    deltas = cat(list(pred_anchor_deltas), dim=1)[image_index, anchor_index]
    if box_reg_loss_type == "smooth_l1":
        encoded = box2box_transform.get_deltas(source, target)
        return smooth_l1_loss(deltas, encoded, beta=smooth_l1_beta, reduction="sum")
    decoded = box2box_transform.apply_deltas(deltas, source)
    return _IOU_LOSSES[box_reg_loss_type](decoded, target, reduction="sum")


Box2BoxTransformRotated = unavailable(__name__, "rotated boxes", "Box2BoxTransformRotated")
