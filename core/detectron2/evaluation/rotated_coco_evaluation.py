"""COCO's metric for rotated boxes, left out: see ``detectron2.utils.unavailable``."""

from detectron2.evaluation.coco_evaluation import COCOEvaluator  # noqa: F401
from detectron2.structures.boxes import BoxMode  # noqa: F401
from detectron2.structures.rotated_boxes import RotatedBoxes, pairwise_iou_rotated  # noqa: F401
from detectron2.utils.unavailable import unavailable

(RotatedCOCOEvaluator, RotatedCOCOeval) = unavailable(
    __name__, "rotated boxes", "RotatedCOCOEvaluator", "RotatedCOCOeval"
)
