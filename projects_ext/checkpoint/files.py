"""Reading weight files without running code that they may hold.

The format is told by the first bytes, not by the file's name: PyTorch's archives (since 1.6) and
its older files go to ``torch.load(weights_only=True)``, other pickles to an unpickler that makes
nothing but arrays and plain values.
"""

import errno
import pickle
import pkgutil
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_OLD_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9\x20j\xa8P\x19."
"""PyTorch before 1.6 starts its files with a pickled magic number."""

_GIT_LFS = b"version https://git-lfs"


class _Inert:
    """Stands for an object in a file that nobody needs; takes any state and does nothing."""


def _numpy_makers() -> dict[str, Any]:
    """What pickled arrays and NumPy numbers are made with, by the names of NumPy 1 and 2."""
    makers: dict[str, Any] = {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
    for function in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer"):
        made_by = pkgutil.resolve_name(f"numpy._core.{function}")
        makers |= {f"{package}.{function}": made_by for package in ("numpy.core", "numpy._core")}
    return makers


_ARRAYS = {**_numpy_makers(), "collections.OrderedDict": OrderedDict}

_HISTORY = "mmengine.logging.history_buffer.HistoryBuffer"
"""Loss curves, which MMEngine stores beside the weights."""


class _PlainUnpickler(pickle.Unpickler):
    """Makes arrays and plain values; refuses every other name that a pickle calls for."""

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name == "_codecs.encode":  # how the oldest protocols write bytes
            return super().find_class(module, name)
        if full_name not in _ARRAYS:
            raise pickle.UnpicklingError(f"GLOBAL {full_name}")
        return _ARRAYS[full_name]


def read_file(path: str, trust: bool = False) -> Any:
    """The content of a weight file, tensors on the CPU.

    Args:
        path: a local file.
        trust: let the file run the code that it holds. Only for files whose origin is beyond
            doubt: they can do whatever the user can.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, cut off, of another kind, or holds code.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no weight file {path}: correct the path (it is relative to the folder in "
            "which the program was started)"
        )
    with open(path, "rb") as file:
        head = file.read(64)
    if not head.startswith((_ZIP, _PICKLE)):
        raise ValueError(f"{path} is no weight file: {_what_it_is(head)}")
    try:
        if head.startswith((_ZIP, _OLD_TORCH)):
            return _load_torch(path, trust)
        return _load_pickle(path, trust)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise anything, "invalid argument" included
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise ValueError(_reason(path, error)) from error


def _load_torch(path: str, trust: bool) -> Any:
    if trust:
        return torch.load(path, map_location="cpu", weights_only=False)
    number_types = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]
    allowed = [(made_by, name) for name, made_by in _ARRAYS.items()] + [(_Inert, _HISTORY)]
    with torch.serialization.safe_globals([*allowed, *number_types]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _load_pickle(path: str, trust: bool) -> Any:
    unpickler = pickle.Unpickler if trust else _PlainUnpickler
    with open(path, "rb") as file:
        return unpickler(file, encoding="latin1").load()  # Detectron's were written by Python 2


def _what_it_is(head: bytes) -> str:
    """Why a file with these first bytes cannot hold weights, and what to do."""
    if not head:
        return "it is empty; copy or download it again"
    if head.startswith(_GIT_LFS):
        return "it is a pointer of Git LFS; fetch the file itself with `git lfs pull`"
    if head.lstrip()[:1] == b"<":
        return "it is a web page; download the file that the page is about"
    return "it is neither a PyTorch file nor a pickle; give a .pth or .pkl file"


def _reason(path: str, error: Exception) -> str:
    """One sentence on a file that could not be read."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named:
        return (
            f"{path} is refused because it can run code when it is read (it calls for {named[1]}): "
            "save the weights alone, or, if you trust its origin, set train.trust_checkpoint=True "
            "(in YAML MODEL.TRUST_WEIGHTS, in Python trust=True)"
        )
    first_line = str(error).strip().split("\n")[0]
    detail = first_line.split(". ")[0].rstrip(".") or type(error).__name__
    return f"{path} is cut off or damaged: copy or download it again ({detail})"
