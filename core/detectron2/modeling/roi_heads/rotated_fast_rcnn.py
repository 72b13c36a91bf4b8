"""RoI heads for rotated boxes, left out: see ``detectron2.utils.unavailable``."""

from detectron2.config.config import configurable  # noqa: F401
from detectron2.layers.nms import batched_nms_rotated  # noqa: F401
from detectron2.layers.shape_spec import ShapeSpec  # noqa: F401
from detectron2.modeling.box_regression import Box2BoxTransformRotated  # noqa: F401
from detectron2.modeling.poolers import ROIPooler  # noqa: F401
from detectron2.modeling.proposal_generator.proposal_utils import add_ground_truth_to_proposals  # noqa: F401
from detectron2.modeling.roi_heads.box_head import build_box_head  # noqa: F401
from detectron2.modeling.roi_heads.build import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers  # noqa: F401
from detectron2.modeling.roi_heads.roi_heads import StandardROIHeads  # noqa: F401
from detectron2.structures.instances import Instances  # noqa: F401
from detectron2.structures.rotated_boxes import RotatedBoxes, pairwise_iou_rotated  # noqa: F401
from detectron2.utils.events import get_event_storage  # noqa: F401
from detectron2.utils.unavailable import unavailable

(
    RROIHeads,
    RotatedFastRCNNOutputLayers,
    fast_rcnn_inference_rotated,
    fast_rcnn_inference_single_image_rotated,
) = unavailable(
    __name__,
    "rotated boxes",
    "RROIHeads",
    "RotatedFastRCNNOutputLayers",
    "fast_rcnn_inference_rotated",
    "fast_rcnn_inference_single_image_rotated",
)
ROI_HEADS_REGISTRY.register(RROIHeads)
