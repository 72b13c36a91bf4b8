"""Overlap of rotated boxes, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

pairwise_iou_rotated = unavailable(__name__, "rotated boxes", "pairwise_iou_rotated")
