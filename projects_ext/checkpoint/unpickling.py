"""Unpickling that makes tensors, arrays and plain values, and calls nothing else.

A pickle names functions and classes, and says what to call them with. Here a name is one of three:

- what tensors, arrays and plain values are made with: these functions are the only ones to be
  called;
- a class that stores values and nothing else, from a package that need not be installed (a
  checkpoint's config, say) or from Python's own library (a path, a date): an empty stand-in takes
  its place, and is left out of what was read;
- a function of Python's own library: a file that wants one called is refused.
"""

import pickle
import pkgutil
import sys
from collections import OrderedDict
from typing import IO, Any

import numpy as np
import torch


def _numpy_makers() -> dict[str, Any]:
    """What pickled arrays and NumPy numbers are made with, by the names of NumPy 1 and 2."""
    makers: dict[str, Any] = {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
    for function in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer"):
        made_by = pkgutil.resolve_name(f"numpy._core.{function}")
        makers |= {f"{package}.{function}": made_by for package in ("numpy.core", "numpy._core")}
    return makers


ARRAYS: dict[str, Any] = {**_numpy_makers(), "collections.OrderedDict": OrderedDict}
"""Full name -> maker, of arrays, NumPy's numbers and ordered dictionaries."""

_PLAIN_TYPES: dict[str, Any] = {
    f"{module}.{made.__name__}": made
    for module in ("builtins", "__builtin__")
    for made in (set, frozenset, complex, bytearray, slice, range)
}


def _tensor_makers() -> dict[str, Any]:
    makers: dict[str, Any] = {"torch.Size": torch.Size, "torch.device": torch.device}
    for function in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"):
        makers[f"torch._utils.{function}"] = pkgutil.resolve_name(f"torch._utils.{function}")
    for name, value in vars(torch).items():
        if isinstance(value, torch.dtype):
            makers[f"torch.{name}"] = value
    return makers


def _bytes(text: str, encoding: str) -> bytes:
    """How the oldest protocols write bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in {encoding}")
    return text.encode("latin1")


_MAKERS = {**ARRAYS, **_PLAIN_TYPES, **_tensor_makers(), "_codecs.encode": _bytes}

_VALUE_CLASSES = {
    "argparse": ("Namespace",),
    "collections": ("Counter", "defaultdict", "deque"),
    "copy_reg": ("_reconstructor",),
    "copyreg": ("_reconstructor",),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "pathlib._local": ("Path", "PosixPath", "PurePath", "WindowsPath"),
    "types": ("SimpleNamespace",),
    "uuid": ("UUID",),
    "builtins": ("object", "list", "dict", "tuple", "int", "float", "str", "bytes", "bool"),
    "__builtin__": ("object", "list", "dict", "tuple", "int", "float", "str", "unicode", "long"),
}
"""Of Python's own library: makes of values that nobody needs here, by module."""


class StandIn:
    """Takes the place of an object that nobody needs: it accepts everything and does nothing."""

    def __new__(cls, *arguments: Any, **options: Any) -> "StandIn":
        """Made from whatever the file says."""
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Forget the arguments."""

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget the entry."""

    def append(self, value: Any) -> None:
        """Forget the value."""

    extend = add = append


def _forbids(module: str, name: str) -> bool:
    """Whether a name of this module is more than a place for values."""
    library = module.partition(".")[0] in {*sys.stdlib_module_names, "__builtin__", "copy_reg"}
    return library and name not in _VALUE_CLASSES.get(module, ())


class RestrictedPickle:
    """A module in the place of ``pickle``, for one file.

    Attributes:
        left_out: the full names of the classes that stand-ins took the place of.
        Unpickler: the class that ``torch.load`` derives its own from.
    """

    __name__ = "restricted_pickle"

    def __init__(self) -> None:
        self.left_out: dict[str, type[StandIn]] = {}
        find = self.find

        class Unpickler(pickle.Unpickler):
            """Finds what :class:`RestrictedPickle` finds."""

            def find_class(self, module: str, name: str) -> Any:
                """The maker of that name, or a stand-in."""
                return find(module, name)

        self.Unpickler = Unpickler

    def find(self, module: str, name: str) -> Any:
        """What stands for a name in the file.

        Args:
            module, name: as the file has them.

        Raises:
            pickle.UnpicklingError: it could run code.
        """
        full_name = f"{module}.{name}"
        if full_name in _MAKERS:
            return _MAKERS[full_name]
        if _forbids(module, name):
            raise pickle.UnpicklingError(f"GLOBAL {full_name}")
        return self.left_out.setdefault(full_name, type(name, (StandIn,), {}))

    def load(self, file: IO[bytes], **options: Any) -> Any:
        """As ``pickle.load``, stand-ins included.

        Args:
            file: opened to read bytes.
            options: of ``pickle.Unpickler``.
        """
        return self.Unpickler(file, **options).load()


def without_stand_ins(value: Any) -> Any:
    """What was read, less the stand-ins.

    Entries of dictionaries go, in lists and tuples None takes their place.
    """
    if _is_stand_in(value):
        return None
    if isinstance(value, dict):
        gone = [key for key, x in value.items() if _is_stand_in(x) or _is_stand_in(key)]
        for key in gone:
            del value[key]
        for key, entry in value.items():
            value[key] = without_stand_ins(entry)
    elif isinstance(value, list):
        value[:] = [without_stand_ins(entry) for entry in value]
    elif type(value) is tuple:
        return tuple(without_stand_ins(entry) for entry in value)
    elif isinstance(value, set):
        return {entry for entry in value if not _is_stand_in(entry)}
    return value


def _is_stand_in(value: Any) -> bool:
    return isinstance(value, StandIn) or (isinstance(value, type) and issubclass(value, StandIn))
