"""Tracking by assignment, left out: see ``detectron2.utils.unavailable``."""

from detectron2.config.config import CfgNode as CfgNode_  # noqa: F401
from detectron2.config.config import configurable  # noqa: F401
from detectron2.structures.boxes import Boxes  # noqa: F401
from detectron2.structures.instances import Instances  # noqa: F401
from detectron2.tracking.base_tracker import BaseTracker  # noqa: F401
from detectron2.utils.unavailable import unavailable

BaseHungarianTracker = unavailable(__name__, "tracking", "BaseHungarianTracker")
