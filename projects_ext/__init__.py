"""GRoIE, GCNet, Grid R-CNN, CARAFE and CondInst as an extension of Detectron2."""

# First of all: the other modules import detectron2.
from . import _requirements as _requirements
from .config import add_config

__all__ = ["add_config"]

__version__ = "0.1.0"
