"""What is installed: ``python -m detectron2.utils.collect_env``."""

import importlib
import os
import platform
import re
import sys
from importlib import metadata

import torch
from tabulate import tabulate

import detectron2
from detectron2.utils.unavailable import INTERNALS, unavailable

__all__ = ["collect_env_info"]

_CORE = "detectron2"


def _requirements() -> list[tuple[str, bool]]:
    """Distributions that core needs, then those that are useful beside it; True: needed."""
    try:
        lines = metadata.requires(_CORE) or []
    except metadata.PackageNotFoundError:  # used from its source folder
        lines = [
            "torch torchvision fvcore iopath omegaconf hydra-core yacs pycocotools cloudpickle "
            "tabulate termcolor tqdm Pillow numpy"
        ][0].split()
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines]
    return [(name, True) for name in names] + [("tensorboard", False), ("cityscapesscripts", False)]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _implementation() -> str:
    folder = os.path.dirname(os.path.abspath(detectron2.__file__))
    if getattr(detectron2, "__implementation__", "upstream") != "core":
        return f"upstream Detectron2 {detectron2.__version__} ({folder})"
    release = _version(_CORE) or "not installed, used from its source folder"
    return f"detectron2-core {release}, API level {detectron2.__version__} ({folder})"


def _gpu_rows() -> list[tuple[str, str]]:
    if not torch.cuda.is_available():
        return [("GPU", "none that PyTorch can use")]
    rows = []
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        memory = about.total_memory / 2**30
        rows.append(
            (f"GPU {index}", f"{about.name}, {memory:.0f} GiB, sm_{about.major}{about.minor}")
        )
    return rows


def _import_problem(name: str) -> str | None:
    """Why a compiled package that is installed does not work; None where it does."""
    try:
        importlib.import_module(name)
    except Exception as error:  # broken binaries fail in many ways
        return f"{name} does not import: {' '.join(str(error).split())}"
    return None


def collect_env_info() -> str:
    """A table of the active implementation, versions, devices, and of what is missing."""
    rows = [
        ("detectron2", _implementation()),
        ("Python", sys.version.replace("\n", "")),
        ("Platform", platform.platform()),
        ("CUDA of PyTorch", torch.version.cuda or "built without"),
        ("CUDA available", str(torch.cuda.is_available())),
        *_gpu_rows(),
    ]
    missing = []
    for name, needed in _requirements():
        version = _version(name)
        rows.append((name, version or "missing"))
        if version is None:
            missing.append(name if needed else f"{name} (optional)")
    problems = [_import_problem(name) for name in ("torchvision", "pycocotools.mask")]
    rows += [("Problem", problem) for problem in problems if problem]
    rows.append(("Missing", ", ".join(missing) or "nothing"))
    rows.append(("$DETECTRON2_DATASETS", os.environ.get("DETECTRON2_DATASETS", "not set")))
    return tabulate(rows, disable_numparse=True)


(
    _test_nccl_worker, collect_torch_env, detect_compute_compatibility, get_env_module,
    test_nccl_ops, main,
) = unavailable(
    __name__, INTERNALS,
    "_test_nccl_worker collect_torch_env detect_compute_compatibility get_env_module test_nccl_ops",
    "main",
)  # fmt: skip


if __name__ == "__main__":
    print(collect_env_info())
