"""The device that a config names: whether there is such a one."""

import functools
import logging
from collections.abc import Sequence

import torch

from detectron2.utils import comm
from projects_ext.errors import UserError

logger = logging.getLogger("detectron2.projects_ext")

KEY = "train.device (YAML: MODEL.DEVICE)"


def torch_device(name: str) -> torch.device:
    """The device of this name; it need not be there.

    Raises:
        UserError: torch knows no such name.
    """
    try:
        return torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise UserError(
            f"{KEY} is {name!r}, which is no device: it is cpu, or cuda, mps or xpu where torch "
            "has one, e.g. cuda:1 for the second GPU"
        ) from error


def require_device(name: str) -> None:
    """Refuse a device that this machine, or this installation of torch, does not have.

    Raises:
        UserError: with what there is instead.
    """
    device = torch_device(name)
    if device.type == "cpu":
        return
    count = _count(device.type)
    if count and (device.index or 0) < count:
        return
    there = f"finds {count} of these" if count else f"finds no {device.type} device on this machine"
    why = ""
    if device.type == "cuda" and torch.version.cuda is None:
        why = ", because it is installed without CUDA"
    remedy = "set it to cpu" + (f" or to {device.type}:0" if count else "")
    raise UserError(f"{KEY} is {name}, but torch {there}{why}: {remedy}")


def _count(kind: str) -> int:
    """How many devices of the kind torch can use."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    module = getattr(torch, kind, None)  # torch.cuda, torch.xpu, and those of plug-ins
    available = getattr(module, "is_available", None)
    if available is None or not available():
        return 0
    return int(module.device_count())  # type: ignore[union-attr]


def names_device(overrides: Sequence[str]) -> bool:
    """Whether a YAML config's command line asks for a device."""
    return any(word.partition("=")[0] == "MODEL.DEVICE" for word in overrides)


@functools.cache  # the config is read twice, and it is said once
def say_cpu_is_used(device: str) -> None:
    """One line, in the main process, on a YAML config's device that is not there."""
    if comm.is_main_process():
        logger.warning(
            f"MODEL.DEVICE is {device} in the config, but torch finds no CUDA device: "
            "running on the CPU"
        )
