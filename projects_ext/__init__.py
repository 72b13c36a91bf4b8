"""GRoIE, GCNet, Grid R-CNN, CARAFE and CondInst as an extension of Detectron2."""

from typing import TYPE_CHECKING, Any

# First of all: the other modules import detectron2.
from . import _requirements as _requirements
from .config import add_config

if TYPE_CHECKING:
    from .prediction.predictor import Predictor

__all__ = ["Predictor", "add_config"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``Predictor`` is imported when it is used: it needs all of the package."""
    if name == "Predictor":
        from .prediction.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
