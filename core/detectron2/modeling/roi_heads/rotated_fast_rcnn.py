"""RoI heads for rotated boxes, left out: see ``detectron2.utils.unavailable``."""

from detectron2.modeling.roi_heads.build import ROI_HEADS_REGISTRY
from detectron2.utils.unavailable import unavailable

(
    RROIHeads, RotatedFastRCNNOutputLayers, fast_rcnn_inference_rotated,
    fast_rcnn_inference_single_image_rotated,
) = unavailable(
    __name__, "rotated boxes",
    "RROIHeads RotatedFastRCNNOutputLayers fast_rcnn_inference_rotated",
    "fast_rcnn_inference_single_image_rotated",
)  # fmt: skip
ROI_HEADS_REGISTRY.register(RROIHeads)
