"""Tracking by assignment of overlaps, left out: see ``detectron2.utils.unavailable``."""

from detectron2.tracking.base_tracker import TRACKER_HEADS_REGISTRY
from detectron2.tracking.utils import LARGE_COST_VALUE  # noqa: F401
from detectron2.utils.unavailable import unavailable

VanillaHungarianBBoxIOUTracker = unavailable(__name__, "tracking", "VanillaHungarianBBoxIOUTracker")
TRACKER_HEADS_REGISTRY.register(VanillaHungarianBBoxIOUTracker)
