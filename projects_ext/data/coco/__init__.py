"""Files in COCO's format: read and checked once, and normalized where they must be."""

from .inspection import Inspection, inspect
from .normalized import Options, normalized_file

__all__ = ["Inspection", "Options", "inspect", "normalized_file"]
