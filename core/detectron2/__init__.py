"""detectron2-core: an independent implementation of a slice of the Detectron2 API.

``__version__`` is the level of the API that is offered; ``__implementation__`` tells this package
(``"core"``) from upstream Detectron2, which has no such name.
"""

import os
import warnings
from importlib import metadata
from typing import Any

__version__ = "0.6"
__implementation__ = "core"


def _refuse_beside_upstream() -> None:
    """Raise ImportError where upstream Detectron2 is installed beside these files."""
    for distribution in metadata.distributions(name="detectron2"):
        if "+core" not in distribution.version:
            raise ImportError(
                "The files of detectron2-core and upstream Detectron2 "
                f"{distribution.version} are both in this environment: run `pip uninstall -y "
                "detectron2`, then install the one you want."
            )


_refuse_beside_upstream()

# fvcore compiles three of its losses with TorchScript when fvcore.nn is imported; the user can
# neither change that nor act on the deprecation that torch then reports.
warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)


def __getattr__(name: str) -> Any:
    """Upstream's ``setup_environment``, imported when it is asked for: torch is large."""
    if name == "setup_environment":
        from .utils.env import setup_environment

        return setup_environment
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


if os.environ.get("DETECTRON2_ENV_MODULE"):
    __getattr__("setup_environment")()
