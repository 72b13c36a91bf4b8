"""GRoIE, GCNet, Grid R-CNN, CARAFE and CondInst as an extension of Detectron2."""

from typing import TYPE_CHECKING, Any

# First of all: the other modules import detectron2.
from . import _requirements

# Where torch is not installed, exported models run nevertheless: see projects_ext.deploy.
if _requirements.HAS_TORCH:
    from .config import add_config

if TYPE_CHECKING:
    from .prediction.predictor import Predictor

__all__ = ["Predictor", "add_config"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``Predictor`` is imported when it is used; what cannot be there without torch says so."""
    if name in __all__ and not _requirements.HAS_TORCH:
        raise ImportError(_requirements.WITHOUT_TORCH.format(name=name))
    if name == "Predictor":
        from .prediction.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
