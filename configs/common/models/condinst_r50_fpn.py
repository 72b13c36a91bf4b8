"""CondInst (arXiv 2003.05664) with ResNet-50 and FPN.

As OpenMMLab trains it: RGB input of about unit variance, stride in the 3x3 convolution, and the
backbone's norms keep the statistics of ImageNet. Scores are class x centerness.
"""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from projects_ext.condinst import (
    CondInst,
    CondInstHead,
    Criterion,
    DynamicMaskHead,
    MaskBranch,
    Selection,
)

from .condinst import pyramid_levels
from .mask_rcnn_r50_fpn_openmmlab import model as mask_rcnn

backbone = mask_rcnn.backbone
backbone.bottom_up.out_features = ["res3", "res4", "res5"]
backbone.top_block = L(LastLevelP6P7)(
    in_channels="${..out_channels}", out_channels="${..out_channels}", in_feature="p5"
)

model = L(CondInst)(
    backbone=backbone,
    head=L(CondInstHead)(
        input_shape=pyramid_levels(5),
        num_classes="${..num_classes}",
        num_parameters=169,
        conv_dims=[256, 256, 256, 256],
        norm="GN",
    ),
    head_in_features=["p3", "p4", "p5", "p6", "p7"],
    mask_branch=L(MaskBranch)(
        input_shape=pyramid_levels(3), channels=128, num_convs=4, out_channels=8, norm="BN"
    ),
    mask_in_features=["p3", "p4", "p5"],
    mask_head=L(DynamicMaskHead)(),
    criterion=L(Criterion)(center_sampling_radius=1.5, max_masks=300),
    semantic_branch=None,
    num_classes=80,
    selection=L(Selection)(
        score_thresh=0.05,
        topk_candidates=1000,
        centerness_first=False,
        score_exponent=1.0,
        nms_thresh=0.6,
        max_detections=100,
    ),
    pixel_mean=mask_rcnn.pixel_mean,
    pixel_std=mask_rcnn.pixel_std,
    input_format="RGB",
)
