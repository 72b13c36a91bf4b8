"""The keypoint head, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.registry import Registry
from detectron2.utils.unavailable import unavailable

ROI_KEYPOINT_HEAD_REGISTRY = Registry("ROI_KEYPOINT_HEAD")
"""Keypoint heads by name."""

_TOTAL_SKIPPED = 0

(
    BaseKeypointRCNNHead, KRCNNConvDeconvUpsampleHead, build_keypoint_head, keypoint_rcnn_inference,
    keypoint_rcnn_loss,
) = unavailable(
    __name__, "keypoints",
    "BaseKeypointRCNNHead KRCNNConvDeconvUpsampleHead build_keypoint_head keypoint_rcnn_inference",
    "keypoint_rcnn_loss",
)  # fmt: skip
ROI_KEYPOINT_HEAD_REGISTRY.register(KRCNNConvDeconvUpsampleHead)
