"""The three ways to store N masks, gathered under one name."""

from detectron2.layers.roi_align import ROIAlign  # noqa: F401
from detectron2.structures.boxes import Boxes  # noqa: F401
from detectron2.utils.memory import retry_if_cuda_oom  # noqa: F401

from .bit_masks import BitMasks, ROIMasks
from .polygon_masks import (
    PolygonMasks,
    polygon_area,
    polygons_to_bitmask,
    rasterize_polygons_within_box,
)

__all__ = [
    "BitMasks",
    "PolygonMasks",
    "ROIMasks",
    "polygon_area",
    "polygons_to_bitmask",
    "rasterize_polygons_within_box",
]
