"""Grid R-CNN: boxes from the heatmaps of their grid points (arXiv 1811.12030)."""

from .class_predictor import ClassPredictor
from .config import add_grid_rcnn_config
from .grid_head import GridHead
from .roi_heads import GridROIHeads

__all__ = ["ClassPredictor", "GridHead", "GridROIHeads", "add_grid_rcnn_config"]
