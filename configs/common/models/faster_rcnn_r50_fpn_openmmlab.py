"""Faster R-CNN (arXiv 1506.01497) with ResNet-50 and FPN, as OpenMMLab trains it."""

from detectron2.config import LazyCall as L
from detectron2.modeling.matcher import Matcher

from .mask_rcnn_r50_fpn_openmmlab import model

for part in ("mask_in_features", "mask_pooler", "mask_head"):
    model.roi_heads.pop(part)

# Without masks, proposals keep the ground truth that they overlap most.
model.roi_heads.proposal_matcher = L(Matcher)(
    thresholds=[0.5], labels=[0, 1], allow_low_quality_matches=False
)
