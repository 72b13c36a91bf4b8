"""Tracking by assignment of overlaps, left out: see ``detectron2.utils.unavailable``."""

from detectron2.config.config import CfgNode as CfgNode_  # noqa: F401
from detectron2.config.config import configurable  # noqa: F401
from detectron2.structures.boxes import pairwise_iou  # noqa: F401
from detectron2.structures.instances import Instances  # noqa: F401
from detectron2.tracking.base_tracker import TRACKER_HEADS_REGISTRY
from detectron2.tracking.hungarian_tracker import BaseHungarianTracker  # noqa: F401
from detectron2.tracking.utils import LARGE_COST_VALUE, create_prediction_pairs  # noqa: F401
from detectron2.utils.unavailable import unavailable

VanillaHungarianBBoxIOUTracker = unavailable(__name__, "tracking", "VanillaHungarianBBoxIOUTracker")
TRACKER_HEADS_REGISTRY.register(VanillaHungarianBBoxIOUTracker)
