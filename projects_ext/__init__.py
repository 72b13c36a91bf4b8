"""GRoIE, GCNet, Grid R-CNN, CARAFE and CondInst as an extension of Detectron2."""

from typing import Any

# First of all: the other modules import detectron2.
from . import _requirements

# Where torch is not installed, exported models run nevertheless: see projects_ext.deploy.
if _requirements.HAS_TORCH:
    from .config import add_config

__all__ = ["add_config"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """What cannot be there without torch says so."""
    if name in __all__:
        raise ImportError(_requirements.WITHOUT_TORCH.format(name=name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
