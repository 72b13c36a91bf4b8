"""Grid R-CNN (arXiv 1811.12030) with ResNet-50 and FPN, as OpenMMLab trains it."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from projects_ext.grid_rcnn import ClassPredictor, GridHead, GridROIHeads

from .faster_rcnn_r50_fpn_openmmlab import model

# Proposals: a smooth L1 loss, of anchors within the image alone, and more of them in training.
model.proposal_generator.update(
    smooth_l1_beta=1 / 9, anchor_boundary_thresh=0, post_nms_topk=(2000, 1000)
)
model.roi_heads._target_ = GridROIHeads
model.roi_heads.box_predictor = L(ClassPredictor)(
    input_shape=ShapeSpec(channels=1024), num_classes="${..num_classes}"
)
model.roi_heads.update(
    grid_in_features=["p2", "p3", "p4", "p5"],
    grid_pooler=L(ROIPooler)(
        output_size=14,
        scales=(1.0 / 4, 1.0 / 8, 1.0 / 16, 1.0 / 32),
        sampling_ratio=0,
        pooler_type="ROIAlignV2",
    ),
    grid_head=L(GridHead)(input_shape=ShapeSpec(channels=256, width=14, height=14)),
)
