"""Tracking by assignment, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

BaseHungarianTracker = unavailable(__name__, "tracking", "BaseHungarianTracker")
