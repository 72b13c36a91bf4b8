"""A table of LVIS, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

LVIS_CATEGORY_IMAGE_COUNT = unavailable(__name__, "LVIS's tables", "LVIS_CATEGORY_IMAGE_COUNT")
