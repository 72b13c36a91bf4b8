"""Boxes with an angle, left out: see ``detectron2.utils.unavailable``."""

from detectron2.layers.rotated_boxes import pairwise_iou_rotated
from detectron2.utils.unavailable import unavailable

__all__ = ["RotatedBoxes", "pairwise_iou", "pairwise_iou_rotated"]

(RotatedBoxes, pairwise_iou) = unavailable(__name__, "rotated boxes", "RotatedBoxes pairwise_iou")
