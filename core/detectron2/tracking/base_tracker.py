"""Trackers, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.registry import Registry
from detectron2.utils.unavailable import unavailable

TRACKER_HEADS_REGISTRY = Registry("TRACKER_HEADS")
"""Trackers by name."""

(BaseTracker, build_tracker_head) = unavailable(
    __name__, "tracking", "BaseTracker build_tracker_head"
)
