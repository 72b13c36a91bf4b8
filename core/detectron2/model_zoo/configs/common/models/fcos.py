"""FCOS (Tian et al. 2019) on ResNet-50, with P6 and P7 made from P5 (Tian et al. 2020, 2.2)."""

from detectron2.modeling.meta_arch.fcos import FCOS, FCOSHead

from .retinanet import model

for _name in ("anchor_generator", "box2box_transform", "anchor_matcher", "input_format"):
    model.pop(_name)
model.head.pop("num_anchors")
model.head.update(_target_=FCOSHead, norm="GN")
model.backbone.top_block.update(in_feature="p5", in_channels=256)
# For scores that are the root of class score times centerness.
model.update(_target_=FCOS, test_score_thresh=0.2, test_nms_thresh=0.6)
