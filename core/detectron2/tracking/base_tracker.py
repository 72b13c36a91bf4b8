"""Trackers, left out: see ``detectron2.utils.unavailable``."""

from detectron2.config.config import CfgNode_, configurable  # noqa: F401
from detectron2.structures.instances import Instances  # noqa: F401
from detectron2.utils.registry import Registry
from detectron2.utils.unavailable import unavailable

TRACKER_HEADS_REGISTRY = Registry("TRACKER_HEADS")
"""Trackers by name."""

_NAMES = "BaseTracker build_tracker_head"
(BaseTracker, build_tracker_head) = unavailable(__name__, "tracking", _NAMES)
