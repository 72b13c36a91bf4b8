"""NumPy arrays and numbers from pickles, made in the one way in which NumPy saves them.

In a pickle, an array is a call of ``_reconstruct`` for an empty one, and a state that fills it; a
number is a call of ``scalar``; since protocol 5 an array may be a call of ``_frombuffer``. What
takes the place of these functions here accepts nothing else, and only plain numbers: NumPy's own
trust the types and states that they are given.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
"""NumPy's names of the number types that are read, without the byte order."""

Spend = Callable[[int], None]
"""Is told of every array's size in bytes, and may refuse it."""


class RefusedError(Exception):
    """A file holds what is not read; the text is what a sentence says after "because"."""


class SizeError(RefusedError):
    """A file says of its content that it is larger than it is."""


class Held:
    """A value that was made for a file, out of reach of the file's further instructions.

    Attributes:
        value: what takes its place once everything is read.
        named: of what it takes the place, if the file names it.
    """

    __slots__ = ("named", "value")

    def __init__(self, value: Any, named: str = "") -> None:
        self.value = value
        self.named = named

    def __setstate__(self, state: Any) -> None:
        """Refuse to be changed."""
        raise RefusedError(f"it changes a {type(self.value).__name__} after it was made")

    def __call__(self, *arguments: Any) -> Any:
        """Refuse to be called."""
        raise RefusedError(f"it calls {self.named or 'a value'} as a function")


class NumberType(Held):
    """In the place of ``numpy.dtype``."""

    __slots__ = ()

    def __init__(self, *arguments: Any) -> None:
        code = arguments[0] if arguments else None
        if not isinstance(code, str) or code not in CODES or arguments[1:] not in _COPIED:
            raise RefusedError(f"it holds an array or number of the type {_shown(code)}")
        super().__init__(np.dtype(code))

    def __setstate__(self, state: Any) -> None:
        """Take over the byte order, which is all that the state of a plain type says."""
        if not isinstance(state, tuple) or state[:1] + state[2:] != _NO_PARTS:
            raise RefusedError(f"it holds an array or number of a type with parts {_shown(state)}")
        if state[1] not in ("<", ">", "=", "|"):
            raise RefusedError(f"it holds numbers in the byte order {_shown(state[1])}")
        self.value = self.value.newbyteorder(state[1])


_COPIED = ((), (False, True), (0, 1))
_NO_PARTS = (3, None, None, None, -1, -1, 0)
"""The state of a type without fields, subtypes and metadata, but for its byte order."""


class PickledArray(Held):
    """What ``_reconstruct`` makes: an array that its state fills."""

    __slots__ = ("_spend",)

    def __init__(self, spend: Spend) -> None:
        super().__init__(np.empty(0))
        self._spend = spend

    def __setstate__(self, state: Any) -> None:
        """Fill it; the state is version, shape, type, whether in Fortran's order, and the bytes."""
        if not isinstance(state, tuple) or len(state) != 5 or state[0] != 1:
            raise RefusedError("it holds an array in another form than NumPy's")
        _, shape, number_type, fortran, raw = state
        content = _content(shape, number_type, raw, self._spend)
        order: Literal["C", "F"] = "F" if fortran else "C"
        self.value = (
            np.frombuffer(content, number_type.value).reshape(shape, order=order).copy(order)
        )


_ARRAY_CLASS = Held(None, "numpy.ndarray")
"""What ``_reconstruct`` is to make; nothing in a pickle calls it."""


def array_makers(spend: Spend) -> dict[str, Any]:
    """What pickled arrays and numbers are made with: full name, of NumPy 1 and 2 -> maker.

    Args:
        spend: called with the size of each array in bytes before it is made.
    """

    def reconstruct(*arguments: Any) -> PickledArray:
        if arguments not in ((_ARRAY_CLASS, (0,), b"b"), (_ARRAY_CLASS, (0,), "b")):
            raise RefusedError("it makes an array in another way than NumPy's")
        return PickledArray(spend)

    def from_buffer(raw: Any, number_type: Any, shape: Any, order: Any, *axes: Any) -> Held:
        content = _content(shape, number_type, raw, spend)
        array = np.frombuffer(content, number_type.value)
        if axes and axes[0] is not None:
            if order != "K" or len(axes) > 1 or sorted(axes[0]) != list(range(len(shape))):
                raise RefusedError("it makes an array in another way than NumPy's")
            return Held(array.reshape(shape).transpose(axes[0]).copy())
        if order not in ("C", "F"):
            raise RefusedError("it makes an array in another way than NumPy's")
        return Held(array.reshape(shape, order=order).copy(order))

    def scalar(number_type: Any, raw: Any) -> bool | int | float:
        return np.frombuffer(_content((), number_type, raw, spend), number_type.value)[0].item()

    makers: dict[str, Any] = {"numpy.ndarray": _ARRAY_CLASS, "numpy.dtype": NumberType}
    for package in ("numpy.core", "numpy._core"):  # before and since NumPy 2
        makers[f"{package}.multiarray._reconstruct"] = reconstruct
        makers[f"{package}.multiarray.scalar"] = scalar
        makers[f"{package}.numeric._frombuffer"] = from_buffer
    return makers


def _content(shape: Any, number_type: Any, raw: Any, spend: Spend) -> bytes:
    """The bytes of an array, checked against its shape and type."""
    if type(number_type) is not NumberType:
        raise RefusedError("it holds an array or number without a type")
    if type(shape) is not tuple or not all(type(size) is int and size >= 0 for size in shape):
        raise RefusedError(f"it holds an array of the shape {_shown(shape)}")
    # Python 2 wrote bytes as text.
    content = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(content, bytes | bytearray):
        raise RefusedError(f"it holds an array of {type(raw).__name__} objects")
    claimed = math.prod(shape) * number_type.value.itemsize
    if claimed != len(content):
        raise SizeError(f"an array of {claimed} bytes, by its shape, has {len(content)}")
    spend(claimed)
    return bytes(content)


def _shown(value: Any) -> str:
    text = ascii(value) if isinstance(value, str | tuple | int) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
