"""Tracking by assignment weighted with overlap, left out: see ``detectron2.utils.unavailable``."""

from detectron2.tracking.base_tracker import TRACKER_HEADS_REGISTRY
from detectron2.utils.unavailable import unavailable

IOUWeightedHungarianBBoxIOUTracker = unavailable(
    __name__, "tracking", "IOUWeightedHungarianBBoxIOUTracker"
)
TRACKER_HEADS_REGISTRY.register(IOUWeightedHungarianBBoxIOUTracker)
