"""detectron2-core: an independent implementation of a slice of the Detectron2 API.

``__version__`` is the level of the API that is offered; ``__implementation__`` tells this package
(``"core"``) from upstream Detectron2, which has no such name.
"""

import warnings
from importlib import metadata

__version__ = "0.6"
__implementation__ = "core"


def _refuse_beside_upstream() -> None:
    """Raise ImportError where upstream Detectron2 is installed in the same environment."""
    try:
        upstream = metadata.version("detectron2")
    except metadata.PackageNotFoundError:
        return
    raise ImportError(
        f"Both detectron2-core and upstream Detectron2 {upstream} are in this environment and they "
        "share one import name: run `pip uninstall detectron2` to keep detectron2-core, or "
        "`pip uninstall detectron2-core` to keep upstream."
    )


_refuse_beside_upstream()

# fvcore compiles three of its losses with TorchScript when fvcore.nn is imported; the user can
# neither change that nor act on the deprecation that torch then reports.
warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
