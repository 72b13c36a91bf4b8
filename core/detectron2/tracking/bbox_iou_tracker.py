"""Tracking by overlap, left out: see ``detectron2.utils.unavailable``."""

from detectron2.tracking.base_tracker import (
    TRACKER_HEADS_REGISTRY,
    BaseTracker,  # noqa: F401
)
from detectron2.utils.unavailable import unavailable

BBoxIOUTracker = unavailable(__name__, "tracking", "BBoxIOUTracker")
TRACKER_HEADS_REGISTRY.register(BBoxIOUTracker)
