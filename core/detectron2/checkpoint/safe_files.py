"""Reading checkpoint files without running code in them; writing them whole or not at all."""

import errno
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

import torch

from .plain_arrays import BUILT, MAKERS, Stored, unwrapped


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays and plain values; every other global name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The object of that name, if it is one that arrays consist of."""
        full_name = f"{module}.{name}"
        if full_name not in _FUNCTIONS:
            raise pickle.UnpicklingError(f"it names {full_name}")
        return _FUNCTIONS[full_name]


class _Function:
    """A function that a pickle may call, and whose attributes it may not set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("it changes a function")


def _bytes(text: str, encoding: str) -> bytes:
    """Bytes in pickle protocols up to 2."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"it holds bytes in {encoding!r:.40}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """As the same protocols write empty ones."""
    return b""


_FUNCTIONS = {
    name: function if isinstance(function, Stored) else _Function(function)
    for name, function in {
        **MAKERS,
        "collections.OrderedDict": OrderedDict,
        "_codecs.encode": _bytes,
        "builtins.bytes": _no_bytes,
        "__builtin__.bytes": _no_bytes,
    }.items()
}


def load_arrays(filename: str) -> Any:
    """The content of a pickle file that consists of NumPy arrays and plain Python values.

    Raises:
        ValueError: the file holds other objects or is no pickle.
    """
    with open(filename, "rb") as file:
        try:
            # Detectron's files were written by Python 2.
            return unwrapped(_ArrayUnpickler(file, encoding="latin1").load())
        except (MemoryError, OSError):
            raise  # not the file's fault
        except Exception as error:  # a damaged pickle may raise anything
            raise ValueError(
                f"{filename} is not loaded: a .pkl checkpoint may hold only NumPy arrays and plain "
                f"values, and this one is damaged or holds something else ({error})."
            ) from error


def _numpy_globals() -> list[Any]:
    """What NumPy scalars and arrays need among the saved values of, say, training hooks."""
    functions = [(function, name) for name, function in MAKERS.items()]
    # Of empty bytes, too: an array without values has them.
    return [*functions, *BUILT, (_no_bytes, "builtins.bytes"), (_no_bytes, "__builtin__.bytes")]


def _require_honest_archive(filename: str) -> None:
    """Refuse an archive that unpacks to more than its own size; PyTorch writes none.

    Raises:
        ValueError: it is compressed, or its entries claim more bytes than there are.
        zipfile.BadZipFile: it is cut off.
    """
    with open(filename, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
    with zipfile.ZipFile(filename) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it is compressed, as PyTorch's files never are")
    if sum(entry.file_size for entry in entries) > os.path.getsize(filename):
        raise ValueError("it claims to hold more than its size")


def load_tensors(filename: str) -> Any:
    """The content of a PyTorch file, on the CPU; tensors, arrays and plain values only.

    Raises:
        ValueError: the file holds other objects or is damaged.
    """
    try:
        _require_honest_archive(filename)
        with torch.serialization.safe_globals(_numpy_globals()):
            return unwrapped(torch.load(filename, map_location="cpu", weights_only=True))
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
