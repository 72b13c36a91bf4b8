"""What stands for NumPy's functions in the pickles of checkpoints.

NumPy saves an array as a call of ``_reconstruct`` and a state, or of ``_frombuffer``, and a number
as a call of ``scalar``. The functions here accept that, of plain number types, and nothing else:
NumPy's own trust whatever they are given.
"""

import math
from typing import Any

import numpy as np

__all__ = ["BUILT", "MAKERS", "Stored", "unwrapped"]

_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class Stored:
    """A value from a file, which the file cannot change or call any more."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __setstate__(self, state: Any) -> None:
        """Raise ValueError."""
        raise ValueError("it changes an array or number")


class NumberType(Stored):
    """Stands for ``numpy.dtype``: takes a plain type's code, and as its state the byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(code, str) or code not in _CODES:
            raise ValueError(f"it holds NumPy values of the type {code!r:.40}")
        super().__init__(np.dtype(code))

    def __setstate__(self, state: Any) -> None:
        """Take over the byte order."""
        plain = (3, None, None, None, -1, -1, 0)
        if not isinstance(state, tuple) or state[:1] + state[2:] != plain or state[1] not in "<>=|":
            raise ValueError("it holds NumPy values of a type with parts")
        self.value = self.value.newbyteorder(state[1])


class StoredArray(Stored):
    """What stands for an empty array until its state fills it."""

    def __setstate__(self, state: Any) -> None:
        """Fill it from version, shape, type, whether in Fortran's order, and bytes."""
        version, shape, number_type, fortran, raw = state
        if version != 1:
            raise ValueError(f"it holds an array of version {version!r:.40}")
        flat = _numbers(raw, number_type, shape)
        self.value = flat.reshape(shape, order="F" if fortran else "C")


_ARRAY_CLASS = Stored(None)


def _numbers(raw: Any, number_type: Any, shape: Any) -> np.ndarray:
    """Bytes as a flat array, if they are as many as shape and type want."""
    if type(number_type) is not NumberType or type(shape) is not tuple:
        raise ValueError("it holds an array or number without a type or shape")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"it holds an array of the shape {shape!r:.40}")
    content = raw.encode("latin1") if isinstance(raw, str) else raw  # text: by Python 2
    wanted = math.prod(shape) * number_type.value.itemsize
    if not isinstance(content, bytes | bytearray) or len(content) != wanted:
        raise ValueError(f"it holds an array without its {wanted} bytes")
    return np.frombuffer(content, number_type.value).copy()


def _reconstruct(kind: Any, shape: Any, code: Any) -> StoredArray:
    if kind is not _ARRAY_CLASS or shape != (0,) or code not in (b"b", "b"):
        raise ValueError("it makes an array in another way than NumPy's")
    return StoredArray(None)


def _from_buffer(
    raw: Any, number_type: Any, shape: Any, order: Any, axis_order: Any = None
) -> Stored:
    flat = _numbers(raw, number_type, shape)
    if axis_order is not None and sorted(axis_order) == list(range(len(shape))):
        return Stored(flat.reshape(shape).transpose(axis_order))
    if order not in ("C", "F") or axis_order is not None:
        raise ValueError("it makes an array in another way than NumPy's")
    return Stored(flat.reshape(shape, order=order))


def _scalar(number_type: Any, raw: Any) -> bool | int | float:
    return _numbers(raw, number_type, ())[0].item()


MAKERS: dict[str, Any] = {
    "numpy.dtype": NumberType,
    "numpy.ndarray": _ARRAY_CLASS,
    **{
        f"{core}.{name}": stands
        for core in ("numpy.core", "numpy._core")  # before and since NumPy 2
        for name, stands in (
            ("multiarray._reconstruct", _reconstruct),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}
"""NumPy's full names -> what stands for them."""

BUILT = (NumberType, StoredArray)
"""The classes of which values have a state."""


def unwrapped(value: Any, done: dict[int, Any] | None = None) -> Any:
    """The content of a file with the values in place of what stored them; changed in place."""
    done = {} if done is None else done
    if isinstance(value, Stored):
        return value.value
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, dict):
        done[id(value)] = value
        for key, entry in value.items():
            value[key] = unwrapped(entry, done)
    elif isinstance(value, list):
        done[id(value)] = value
        value[:] = [unwrapped(entry, done) for entry in value]
    elif type(value) is tuple:
        done[id(value)] = tuple(unwrapped(entry, done) for entry in value)
        return done[id(value)]
    return value
