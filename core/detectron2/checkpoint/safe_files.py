"""Reading checkpoint files without running code in them; writing them whole or not at all."""

import errno
import os
import pickle
import pkgutil
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import torch

_NUMPY_FUNCTIONS = {
    f"{core}.{name}": pkgutil.resolve_name(f"numpy._core.{name}")
    for core in ("numpy.core", "numpy._core")  # before and since NumPy 2
    for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
}
"""What NumPy's pickled arrays and numbers are made with, under its old and new names."""


_HARMLESS = {
    **_NUMPY_FUNCTIONS,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "collections.OrderedDict": OrderedDict,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays and plain values; every other global name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The object of that name, if it is one that arrays consist of."""
        full_name = f"{module}.{name}"
        if full_name == "_codecs.encode":  # bytes, in pickle protocols up to 2
            return super().find_class(module, name)
        if full_name not in _HARMLESS:
            raise pickle.UnpicklingError(f"it names {full_name}")
        return _HARMLESS[full_name]


def load_arrays(filename: str) -> Any:
    """The content of a pickle file that consists of NumPy arrays and plain Python values.

    Raises:
        ValueError: the file holds other objects or is no pickle.
    """
    with open(filename, "rb") as file:
        try:
            # Detectron's files were written by Python 2.
            return _ArrayUnpickler(file, encoding="latin1").load()
        except Exception as error:  # a damaged pickle may raise anything
            raise ValueError(
                f"{filename} is not loaded: a .pkl checkpoint may hold only NumPy arrays and plain "
                f"values, and this one is damaged or holds something else ({error})."
            ) from error


def _numpy_globals() -> list[Any]:
    """What NumPy scalars and arrays need among the saved values of, say, training hooks."""
    dtypes = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]
    named = [(function, name) for name, function in _NUMPY_FUNCTIONS.items()]
    return [np.dtype, np.ndarray, *named, *dtypes]


def load_tensors(filename: str) -> Any:
    """The content of a PyTorch file, on the CPU; tensors, arrays and plain values only.

    Raises:
        ValueError: the file holds other objects or is damaged.
    """
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            return torch.load(filename, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise anything
        # A cut-off archive reads as "invalid argument"; what else the system says is the disk's.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        refused = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it names {refused[1]}" if refused else str(error).split("\n")[0]
        raise ValueError(
            f"{filename} is not loaded: a .pth checkpoint may hold only tensors and plain values, "
            f"and this one is damaged or holds something else ({reason})."
        ) from error


def replace_file(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Write a local file so that at any time either its old or its new content is there, whole.

    The content is written to ``path + ".part"`` and renamed.

    Args:
        path: the file, in an existing folder.
        write: gets the open binary file.

    Raises:
        OSError: the disk is full, for instance; the old file is then untouched.
    """
    unfinished = f"{path}.part"
    try:
        with open(unfinished, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException as error:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
        # Where writing fails, torch.save ends in an internal error of its archive writer.
        internal = isinstance(error.__context__, OSError) or "PytorchStreamWriter" in str(error)
        if isinstance(error, RuntimeError) and internal:
            raise OSError(f"{path} could not be written: is the disk full?") from error
        raise
