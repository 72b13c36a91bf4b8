"""Cascade Mask R-CNN (arXiv 1712.00726) with ResNet-50 and FPN, as OpenMMLab trains it."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import CascadeROIHeads, FastRCNNConvFCHead, FastRCNNOutputLayers
from projects_ext.modeling import TwoSidedBox2BoxTransform

from .mask_rcnn_r50_fpn_openmmlab import model

heads = model.roi_heads
for part in ("box_head", "box_predictor", "proposal_matcher"):
    heads.pop(part)
heads.update(
    _target_=CascadeROIHeads,
    box_heads=[
        L(FastRCNNConvFCHead)(
            input_shape=L(ShapeSpec)(channels=256, height=7, width=7),
            conv_dims=[],
            fc_dims=[1024, 1024],
        )
        for _ in range(3)
    ],
    # Each stage regresses boxes of the last, all classes alike, and more finely.
    box_predictors=[
        L(FastRCNNOutputLayers)(
            input_shape=L(ShapeSpec)(channels=1024),
            test_score_thresh=0.05,
            box2box_transform=L(TwoSidedBox2BoxTransform)(weights=weights),
            cls_agnostic_bbox_reg=True,
            num_classes="${...num_classes}",
            smooth_l1_beta=1.0,
        )
        for weights in ((10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15))
    ],
    proposal_matchers=[
        L(Matcher)(thresholds=[overlap], labels=[0, 1], allow_low_quality_matches=False)
        for overlap in (0.5, 0.6, 0.7)
    ],
)
model.proposal_generator.smooth_l1_beta = 1 / 9
