"""COCO's panoptic quality, left out: see ``detectron2.utils.unavailable``."""

from detectron2.data.catalog import MetadataCatalog  # noqa: F401
from detectron2.utils.unavailable import unavailable

(COCOPanopticEvaluator, _print_panoptic_results) = unavailable(
    __name__, "panoptic segmentation", "COCOPanopticEvaluator _print_panoptic_results"
)
