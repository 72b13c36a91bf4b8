"""The keypoint head, left out: see ``detectron2.utils.unavailable``."""

from detectron2.config.config import configurable  # noqa: F401
from detectron2.layers.wrappers import Conv2d, cat  # noqa: F401
from detectron2.structures.instances import Instances  # noqa: F401
from detectron2.structures.keypoints import heatmaps_to_keypoints  # noqa: F401
from detectron2.utils.events import get_event_storage  # noqa: F401
from detectron2.utils.registry import Registry
from detectron2.utils.unavailable import unavailable

ROI_KEYPOINT_HEAD_REGISTRY = Registry("ROI_KEYPOINT_HEAD")
"""Keypoint heads by name."""

_TOTAL_SKIPPED = 0

(
    BaseKeypointRCNNHead,
    KRCNNConvDeconvUpsampleHead,
    build_keypoint_head,
    keypoint_rcnn_inference,
    keypoint_rcnn_loss,
) = unavailable(
    __name__,
    "keypoints",
    "BaseKeypointRCNNHead",
    "KRCNNConvDeconvUpsampleHead",
    "build_keypoint_head",
    "keypoint_rcnn_inference",
    "keypoint_rcnn_loss",
)
ROI_KEYPOINT_HEAD_REGISTRY.register(KRCNNConvDeconvUpsampleHead)
