"""Whether a program is being recorded: then layers take the ways that every runtime knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_WANTED: ContextVar[bool] = ContextVar("standard_operators", default=False)


@contextmanager
def standard_operators() -> Iterator[None]:
    """Within it, layers use PyTorch's and torchvision's operators alone.

    Programs traced in it run where this project is not installed.
    """
    token = _WANTED.set(True)
    try:
        yield
    finally:
        _WANTED.reset(token)


def exporting() -> bool:
    """Whether `torch.export` or an ONNX exporter is recording, or standard operators are wanted."""
    if torch.compiler.is_exporting():
        return True
    return _WANTED.get() or torch.onnx.is_in_onnx_export()


def recording() -> bool:
    """The same, or `torch.jit.trace`: what converters read from traces loses writes into views."""
    return exporting() or torch.jit.is_tracing()
