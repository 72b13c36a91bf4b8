"""Sending functions that plain pickle refuses, such as closures, to other processes."""

from collections.abc import Callable
from typing import Any

import cloudpickle

__all__ = ["PicklableWrapper"]


class PicklableWrapper:
    """A callable object that pickles whatever it wraps by means of cloudpickle.

    Data loader workers and launched processes receive their arguments through plain pickle, which
    knows functions by name only. Calls and attributes go through to the wrapped object.
    """

    def __init__(self, obj: Any) -> None:
        # Wrapping twice would pickle twice.
        self._obj: Any = obj._obj if isinstance(obj, PicklableWrapper) else obj

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the wrapped object."""
        return self._obj(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # Reached for names this object lacks. `_obj` itself is missing while being unpickled.
        if name == "_obj":
            raise AttributeError(name)
        return getattr(self._obj, name)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[bytes]]:
        return _unwrap, (cloudpickle.dumps(self._obj),)


def _unwrap(data: bytes) -> Any:
    return cloudpickle.loads(data)
