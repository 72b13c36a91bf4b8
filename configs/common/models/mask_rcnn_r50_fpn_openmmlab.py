"""Mask R-CNN (arXiv 1703.06870) with ResNet-50 and FPN, as OpenMMLab trains it.

RGB input of about unit variance, stride in the 3x3 convolution: weights published by OpenMMLab, and
torchvision's ImageNet weights (`train.init_checkpoint=torchvision://resnet50`), give here what they
give there.
"""

from detectron2.config import LazyCall as L
from detectron2.utils.registry import locate
from projects_ext.modeling import (
    KaimingLogitsMaskHead,
    ReassigningMatcher,
    TwoSidedBox2BoxTransform,
    XavierUniformFPN,
)

from .mask_rcnn_fpn import model

model.pixel_mean = [123.675, 116.28, 103.53]
model.pixel_std = [58.395, 57.12, 57.375]
model.input_format = "RGB"

# The statistics stay those of ImageNet. Scale and shift train, except in the stem and in res2,
# which are frozen as a whole.
norm = L(locate)(name="projects_ext.layers.FrozenStatisticsBatchNorm2d")
model.backbone.bottom_up.stem.norm = norm
model.backbone.bottom_up.stages.update(norm=norm, stride_in_1x1=False)

model.proposal_generator.anchor_matcher = L(ReassigningMatcher)(
    thresholds=[0.3, 0.7], labels=[0, -1, 1], min_low_quality=0.3
)
model.roi_heads.proposal_matcher = L(ReassigningMatcher)(
    thresholds=[0.5], labels=[0, 1], min_low_quality=0.5
)
model.proposal_generator.box2box_transform._target_ = TwoSidedBox2BoxTransform
model.roi_heads.box_predictor.box2box_transform._target_ = TwoSidedBox2BoxTransform

model.backbone._target_ = XavierUniformFPN
model.roi_heads.mask_head._target_ = KaimingLogitsMaskHead
