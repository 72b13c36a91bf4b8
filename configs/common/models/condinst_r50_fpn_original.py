"""CondInst (arXiv 2003.05664) with ResNet-50 and FPN, as its authors trained it (AdelaiDet).

The conventions of Detectron2's own ImageNet weights: BGR input less the mean, stride in the first
1x1 convolution of a stage, frozen norms. Predictions are chosen by class x centerness, and scores
are the square root of it.
"""

from .condinst_r50_fpn import model
from .mask_rcnn_fpn import model as mask_rcnn

model.backbone._target_ = mask_rcnn.backbone._target_
model.backbone.bottom_up.stem.norm = mask_rcnn.backbone.bottom_up.stem.norm
model.backbone.bottom_up.stages = mask_rcnn.backbone.bottom_up.stages
model.selection.update(centerness_first=True, score_exponent=0.5)
model.criterion.max_masks = 500
model.update({key: mask_rcnn[key] for key in ("pixel_mean", "pixel_std", "input_format")})
