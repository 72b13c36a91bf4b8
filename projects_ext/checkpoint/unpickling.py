"""Unpickling that makes tensors, arrays and plain values, and calls nothing else.

A pickle names functions and classes, and says what to call them with. Here a name is one of three:

- what tensors, arrays and plain values are made with: functions of this module and of
  :mod:`projects_ext.checkpoint.plain_arrays` take their place, check what they are called with, and
  are the only ones to be called;
- a class that stores values and nothing else, from a package that need not be installed (a
  checkpoint's config, say) or from Python's own library (a path, a date): an empty stand-in takes
  its place, and is left out of what was read;
- anything else of Python's own library or of NumPy: a file that names it is refused.
"""

import _compat_pickle
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import IO, Any

import torch

from .plain_arrays import Held, RefusedError, SizeError, array_makers
from .plain_tensors import UNTYPED, storage_size, tensor_makers

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
    "builtins": ("object", "list", "dict", "tuple", "int", "float", "str", "bool", "range"),
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


class Maker:
    """A function that a file may call, and not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """As the function; arguments that it does not accept are refused."""
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        """Refuse to be changed."""
        raise RefusedError("it changes a function")


def _bytes(text: Any, encoding: Any) -> bytes:
    """``_codecs.encode``: how protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedError("it makes bytes in another way than pickle's")
    return text.encode("latin1")


def _byte_array(*arguments: Any) -> bytearray:
    """``bytearray`` and ``bytes`` of given bytes or text, never of a number."""
    if not arguments:
        return bytearray()
    if isinstance(arguments[0], str):
        return bytearray(_bytes(*arguments))
    if len(arguments) > 1 or not isinstance(arguments[0], bytes):
        raise RefusedError("it makes bytes in another way than pickle's")
    return bytearray(arguments[0])


def _of_values(kind: Callable[..., Any]) -> Maker:
    """A set, say, of what a list or tuple holds."""

    def make(*arguments: Any) -> Any:
        if len(arguments) > 1 or not all(type(x) in (list, tuple) for x in arguments):
            raise RefusedError(f"it makes a {kind.__name__} in another way than pickle's")
        return kind(*arguments)

    return Maker(make)


def _member(owner: Any, name: Any) -> StandIn:
    """``getattr`` of a class that a stand-in takes the place of; MMEngine stores such functions."""
    if not (isinstance(owner, type) and issubclass(owner, StandIn) and isinstance(name, str)):
        raise RefusedError(_code("builtins.getattr"))
    return StandIn()


_PLAIN = {
    "set": _of_values(set),
    "frozenset": _of_values(frozenset),
    "complex": Maker(complex),
    "bytearray": Maker(_byte_array),
    "bytes": Maker(lambda *arguments: bytes(_byte_array(*arguments))),
    "slice": Maker(slice),
    "getattr": Maker(_member),
}
_MAKERS: dict[str, Any] = {
    **{f"{m}.{name}": made for m in ("builtins", "__builtin__") for name, made in _PLAIN.items()},
    "collections.OrderedDict": _of_values(OrderedDict),
    "torch.Size": _of_values(torch.Size),
    "torch.device": Maker(torch.device),
    "torch.storage.UntypedStorage": UNTYPED,
    "_codecs.encode": Maker(_bytes),
    **{f"torch.{name}": x for name, x in vars(torch).items() if isinstance(x, torch.dtype)},
    **{name: Maker(function) for name, function in tensor_makers().items()},
}


def _forbids(module: str, name: str) -> bool:
    """Whether a name of this module is more than a place for values."""
    # Protocols 0 to 2 name the modules of Python 2.
    own = module.partition(".")[0] in sys.stdlib_module_names
    library = own or module in _compat_pickle.IMPORT_MAPPING
    return library and name not in _VALUE_CLASSES.get(module, ())


def _code(full_name: str) -> str:
    return f"it can run code when it is read (it calls for {full_name})"


class RestrictedPickle:
    """A module in the place of ``pickle``, for one file.

    Args:
        size: of the file in bytes; what is made of it may not be larger.
        records: where storages lie in files of their own, their sizes in bytes by their names.

    Attributes:
        left_out: the full names of the classes that stand-ins took the place of.
        Unpickler: the class that ``torch.load`` derives its own from.
    """

    __name__ = "restricted_pickle"

    def __init__(self, size: int, records: Mapping[str, int] | None = None) -> None:
        self.left_out: dict[str, type[StandIn]] = {}
        self._left, self._size, self._records = size, size, records
        self._storages: dict[str, int] = {}
        arrays = array_makers(self._spend)
        self._makers = {
            **_MAKERS,
            **{name: x if isinstance(x, Held) else Maker(x) for name, x in arrays.items()},
        }
        find, persistent = self.find, self._persistent

        class Unpickler(pickle.Unpickler):
            """Finds what :class:`RestrictedPickle` finds, and checks storages beforehand."""

            def find_class(self, module: str, name: str) -> Any:
                """The maker of that name, or a stand-in."""
                return find(module, name)

            def load(self) -> Any:
                """As pickle's; ``persistent_load`` is what ``torch.load`` has set."""
                given = getattr(self, "persistent_load", None)
                if given is not None:
                    self.persistent_load = lambda saved: persistent(saved, given)  # type: ignore[method-assign]
                return super().load()

        self.Unpickler = Unpickler

    def find(self, module: str, name: str) -> Any:
        """What stands for a name in the file.

        Args:
            module, name: as the file has them.

        Raises:
            RefusedError: it could run code, or is a part of NumPy that plain arrays do not need.
        """
        full_name = f"{module}.{name}"
        if full_name in self._makers:
            return self._makers[full_name]
        if module.partition(".")[0] == "numpy":
            raise RefusedError(
                f"it holds more of NumPy than plain arrays and numbers ({full_name})"
            )
        if _forbids(module, name):
            raise RefusedError(_code(full_name))
        return self.left_out.setdefault(full_name, type(name, (StandIn,), {}))

    def load(self, file: IO[bytes], **options: Any) -> Any:
        """As ``pickle.load``, stand-ins and held values included.

        Args:
            file: opened to read bytes.
            options: of ``pickle.Unpickler``.
        """
        return self.Unpickler(file, **options).load()

    def _spend(self, count: int) -> None:
        """Count the bytes of what is made."""
        self._left -= count
        if self._left < 0:
            raise SizeError(f"it claims to hold more than its {self._size} bytes")

    def _persistent(self, saved: Any, given: Callable[[Any], Any]) -> Any:
        """What a pickle of torch refers to: a storage, or (before 1.6) a class and its source."""
        if not isinstance(saved, tuple) or len(saved) < 4:
            raise RefusedError("it refers to something that is no storage")
        if saved[0] in ("module", b"module"):
            return saved[1]
        key, size = str(saved[2]), storage_size(saved)
        if self._records is not None and self._records.get(key) != size:
            raise SizeError(
                f"a tensor of {size} bytes, by what is said of it, has {self._records.get(key, 0)}"
            )
        if key not in self._storages:
            self._spend(size)
        elif self._storages[key] != size:
            raise RefusedError("it says different things of one storage")
        self._storages[key] = size
        storage_type = torch.UntypedStorage if saved[1] is UNTYPED else saved[1]
        return Held(given((saved[0], storage_type, *saved[2:])))


def plain(value: Any) -> Any:
    """What was read, with held values in their places and less the stand-ins.

    Entries of dictionaries go, in lists and tuples None takes their place.
    """
    return _plain(value, {})


def _plain(value: Any, done: dict[int, Any]) -> Any:
    # Files may refer to a container from many places, and from itself.
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, Held):
        return value.value
    if _is_stand_in(value) or isinstance(value, Maker):
        return None
    if isinstance(value, dict):
        done[id(value)] = value
        kept = [(key, entry) for key, entry in value.items() if not _is_left_out(key, entry)]
        value.clear()
        value.update((key, _plain(entry, done)) for key, entry in kept)
    elif isinstance(value, list):
        done[id(value)] = value
        value[:] = [_plain(entry, done) for entry in value]
    elif type(value) is tuple:
        done[id(value)] = tuple(_plain(entry, done) for entry in value)
        return done[id(value)]
    elif isinstance(value, set | frozenset):
        return type(value)(entry for entry in value if not _is_left_out(entry, entry))
    return value


def _is_left_out(key: Any, entry: Any) -> bool:
    return _is_stand_in(entry) or _is_stand_in(key) or isinstance(key, Held | Maker)


def _is_stand_in(value: Any) -> bool:
    return isinstance(value, StandIn) or (isinstance(value, type) and issubclass(value, StandIn))
