"""Grid R-CNN (arXiv 1811.12030) with ResNet-50 and FPN, as OpenMMLab trains it."""

from .faster_rcnn_r50_fpn_openmmlab import model
from .grid_rcnn import use_grid

use_grid(model)
# Proposals: a smooth L1 loss, of anchors within the image alone, and more of them in training.
model.proposal_generator.update(
    smooth_l1_beta=1 / 9, anchor_boundary_thresh=0, post_nms_topk=(2000, 1000)
)
