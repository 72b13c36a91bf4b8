"""RoIAlign of rotated boxes, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(ROIAlignRotated, _ROIAlignRotated, roi_align_rotated) = unavailable(
    __name__, "rotated boxes", "ROIAlignRotated _ROIAlignRotated roi_align_rotated"
)
