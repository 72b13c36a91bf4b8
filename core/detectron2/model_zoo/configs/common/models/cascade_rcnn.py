"""Cascade Mask R-CNN (Cai and Vasconcelos 2018): three box heads, each stricter than the last."""

import copy
from typing import Any

from detectron2.modeling.roi_heads import CascadeROIHeads

from .mask_rcnn_fpn import model

_heads = model.roi_heads
_head, _predictor, _matcher = (
    _heads.pop(name) for name in ("box_head", "box_predictor", "proposal_matcher")
)


def _changed(part: Any, **kwargs: Any) -> Any:
    copied = copy.deepcopy(part)
    copied.update(**kwargs)
    return copied


_transforms = [
    _changed(_predictor.box2box_transform, weights=weights)
    for weights in ((10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15))
]
_heads.update(
    _target_=CascadeROIHeads,
    box_heads=[copy.deepcopy(_head) for _ in range(3)],
    box_predictors=[
        _changed(
            _predictor,
            box2box_transform=transform,
            cls_agnostic_bbox_reg=True,
            num_classes="${...num_classes}",
        )
        for transform in _transforms
    ],
    proposal_matchers=[_changed(_matcher, thresholds=[iou]) for iou in (0.5, 0.6, 0.7)],
)
