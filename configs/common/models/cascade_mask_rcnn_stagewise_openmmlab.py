"""Cascade Mask R-CNN (arXiv 1712.00726) with ResNet-50 and FPN, a mask head a stage.

The model that OpenMMLab's weights are for: its three mask heads answer together, and training
samples proposals and weights losses stage by stage.
"""

import copy

from projects_ext.modeling import StagewiseCascadeROIHeads

from .cascade_mask_rcnn_r50_fpn_openmmlab import model

heads = model.roi_heads
heads._target_ = StagewiseCascadeROIHeads
mask_head = heads.pop("mask_head")
heads.update(
    mask_heads=[copy.deepcopy(mask_head) for _ in range(3)], stage_weights=(1.0, 0.5, 0.25)
)
for head in heads.mask_heads:
    # A step further down than the one head was.
    head.input_shape.channels = "${.....backbone.out_channels}"
    head.num_classes = "${...num_classes}"
# Deltas there are divided by 0.1, 0.05, 0.033 and twice as much: nearly the paper's numbers.
for predictor, (place, size) in zip(
    heads.box_predictors, ((0.1, 0.2), (0.05, 0.1), (0.033, 0.067)), strict=True
):
    weights = (1 / place, 1 / place, 1 / size, 1 / size)
    predictor.box2box_transform.weights = weights
# Anchors within the image alone, and more proposals in training.
model.proposal_generator.update(anchor_boundary_thresh=0, post_nms_topk=(2000, 1000))
