"""COCO's metric for rotated boxes, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(RotatedCOCOEvaluator, RotatedCOCOeval) = unavailable(
    __name__, "rotated boxes", "RotatedCOCOEvaluator RotatedCOCOeval"
)
