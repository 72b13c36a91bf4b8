"""Random state and the installed PyTorch's version."""

import importlib.util
import logging
import os
import random
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import torch

__all__ = ["TORCH_VERSION", "seed_all_rng"]

TORCH_VERSION: tuple[int, ...] = tuple(int(part) for part in torch.__version__.split(".")[:2])
"""Major and minor version, e.g. ``(2, 15)``."""


def seed_all_rng(seed: int | None = None) -> None:
    """Seed the generators of Python, NumPy and PyTorch (CPU and GPUs).

    Args:
        seed: from 0 to 2**32 - 1; None draws one from the operating system and logs it.
    """
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "little")
        logging.getLogger(__name__).info("Using a random seed: %d", seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    # For child processes that hash strings; this one's hashing was fixed when it started.
    os.environ["PYTHONHASHSEED"] = str(seed)


DOC_BUILDING = os.getenv("_DOC_BUILDING", False)
"""Whether documentation is being built."""

_ENV_SETUP_DONE = False


def setup_environment() -> None:
    """Run ``setup_environment`` of the module or file in $DETECTRON2_ENV_MODULE, once."""
    global _ENV_SETUP_DONE
    custom = os.environ.get("DETECTRON2_ENV_MODULE")
    if custom and not _ENV_SETUP_DONE:
        setup_custom_environment(custom)
    _ENV_SETUP_DONE = True


def setup_custom_environment(custom_module: str) -> None:
    """Import a module or a ``.py`` file and call its function ``setup_environment``."""
    if custom_module.endswith(".py"):
        module = _import_file("detectron2.utils.env.custom_module", custom_module)
    else:
        module = importlib.import_module(custom_module)
    assert callable(getattr(module, "setup_environment", None)), (
        f"The module {custom_module} of $DETECTRON2_ENV_MODULE has no function setup_environment."
    )
    module.setup_environment()


def _import_file(module_name: str, file_path: str, make_importable: bool = False) -> ModuleType:
    """The module that a file makes; under its name in ``sys.modules`` if ``make_importable``."""
    spec = importlib.util.spec_from_file_location(module_name, file_path)
    assert spec is not None, f"{file_path} is no Python file."
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if make_importable:
        sys.modules[module_name] = module
    return module


def fixup_module_metadata(
    module_name: str, namespace: dict[str, Any], keys: Iterable[str] | None = None
) -> None:
    """Let public classes and functions name ``module_name`` as their home, for documentation.

    Nothing happens unless ``DOC_BUILDING``.
    """
    if not DOC_BUILDING:
        return
    for name in namespace if keys is None else keys:
        home = getattr(namespace[name], "__module__", None) or ""
        if not name.startswith("_") and home.startswith((module_name, "fvcore.")):
            namespace[name].__module__ = module_name


def _configure_libraries() -> None:
    """Keep OpenCV, where it is installed, from using OpenCL; $DETECTRON2_DISABLE_CV2 hides it."""
    if int(os.environ.get("DETECTRON2_DISABLE_CV2", 0)):
        sys.modules["cv2"] = None  # type: ignore[assignment]
    else:
        os.environ["OPENCV_OPENCL_RUNTIME"] = "disabled"
