"""From proposals to scored boxes, each as its RoI heads do it, for exported programs.

Shapes: R proposals, K classes, Kr = K or 1 boxes of a proposal.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from detectron2.modeling.roi_heads import CascadeROIHeads, StandardROIHeads
from projects_ext.errors import UserError
from projects_ext.grid_rcnn.class_predictor import ClassPredictor
from projects_ext.modeling import StagewiseCascadeROIHeads

from .pooling import pool
from .suppression import clipped

Scored = tuple[Tensor, Tensor]
"""Boxes (R, Kr, 4) in pixels of the network's input, not clipped, and probabilities (R, K)."""


def require_known(heads: Any) -> None:
    """Refuse RoI heads that detect in another way than the ones here.

    Raises:
        UserError: they do.
    """
    if not isinstance(heads, StandardROIHeads) or getattr(heads, "keypoint_on", False):
        raise UserError(
            f"RoI heads of the type {type(heads).__name__} cannot be exported: give a model with "
            "StandardROIHeads, CascadeROIHeads or GridROIHeads, without keypoints"
        )
    if getattr(heads, "mask_on", False) and heads.mask_pooler is None:
        raise UserError(
            "a mask head without a pooler of its own cannot be exported: give the model a "
            "mask_pooler"
        )


def last_predictor(heads: Any) -> Any:
    """The box predictor whose thresholds decide."""
    if isinstance(heads, CascadeROIHeads):
        return heads.box_predictor[-1]
    return heads.box_predictor


def score(heads: Any, maps: Sequence[Tensor], boxes: Tensor, size: Any) -> Scored:
    """Boxes and probabilities of all proposals.

    Args:
        heads: RoI heads that :func:`require_known` lets pass.
        maps: the features of the box branch, finest first.
        boxes: (R, 4).
        size: height and width of the network's input, without padding.
    """
    if isinstance(heads, CascadeROIHeads):
        return _cascade(heads, maps, boxes, size)
    regions = heads.box_head(pool(heads.box_pooler, maps, boxes))
    if isinstance(heads.box_predictor, ClassPredictor):
        return boxes[:, None], heads.box_predictor(regions).float().softmax(dim=-1)[:, :-1]
    logits, deltas = heads.box_predictor(regions)
    found = heads.box_predictor.box2box_transform.apply_deltas(deltas, boxes)
    return found.unflatten(1, (-1, 4)), _probabilities(heads.box_predictor, logits)


def _probabilities(predictor: Any, logits: Tensor) -> Tensor:
    sigmoid = getattr(predictor, "use_sigmoid_ce", False)
    return (logits.sigmoid() if sigmoid else logits.softmax(dim=-1))[:, :-1]


def _cascade(heads: Any, maps: Sequence[Tensor], boxes: Tensor, size: Any) -> Scored:
    """The boxes of the last stage; the mean of all stages' probabilities, or of their logits."""
    by_logits = isinstance(heads, StagewiseCascadeROIHeads)
    total: Any = 0
    for stage, predictor in enumerate(heads.box_predictor):
        if stage:
            boxes = clipped(boxes, size)
        logits, deltas = predictor(heads.box_head[stage](pool(heads.box_pooler, maps, boxes)))
        boxes = predictor.box2box_transform.apply_deltas(deltas, boxes)
        total = total + (logits if by_logits else _probabilities(predictor, logits))
    mean = total / heads.num_cascade_stages
    return boxes[:, None], mean.softmax(dim=-1)[:, :-1] if by_logits else mean
