"""Boxes with an angle, left out: see ``detectron2.utils.unavailable``."""

from detectron2.layers.rotated_boxes import pairwise_iou_rotated  # noqa: F401
from detectron2.structures.boxes import Boxes  # noqa: F401
from detectron2.utils.unavailable import unavailable

(RotatedBoxes, pairwise_iou) = unavailable(
    __name__, "rotated boxes", "RotatedBoxes", "pairwise_iou"
)
