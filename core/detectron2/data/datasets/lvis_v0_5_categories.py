"""A table of LVIS, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

LVIS_CATEGORIES = unavailable(__name__, "LVIS's tables", "LVIS_CATEGORIES")
