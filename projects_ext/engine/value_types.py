"""Whether a config's value is of the type that an annotation or an earlier value asks for."""

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union

from torch import nn

_SCALARS = (bool, int, float, str)
_SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)


def accepts(annotation: Any, value: Any) -> bool:
    """Whether ``value`` can be meant where ``annotation`` stands.

    Only what is wrong beyond doubt is refused: ``value`` is a plain value of a config, and
    annotations other than plain types, unions, literals and sequences of them accept everything.
    A bool is no number. Descriptions of objects (mappings with ``_target_``) are accepted.
    """
    if isinstance(value, Mapping) and "_target_" in value:
        return True
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        # Of `float | Tensor` a plain value can only be the float.
        plain = [part for part in parts if part in _SCALARS]
        if plain and isinstance(value, _SCALARS):
            parts = tuple(part for part in parts if part in _SCALARS or typing.get_origin(part))
        return any(accepts(part, value) for part in parts)
    if origin is Literal:
        return value in parts
    if annotation in (None, types.NoneType):
        return value is None
    if annotation in _SCALARS:
        return _is_scalar(annotation, value)
    if (origin or annotation) in _SEQUENCES:
        return _is_sequence(origin or annotation, parts, value)
    if isinstance(annotation, type) and issubclass(annotation, nn.Module):
        return value is not None and not isinstance(value, _SCALARS)
    return True


def _is_scalar(wanted: type, value: Any) -> bool:
    if value is None or (isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)):
        return False
    if not isinstance(value, _SCALARS):
        return True  # an object that may act as one
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is wanted


def _is_sequence(kind: Any, parts: tuple[Any, ...], value: Any) -> bool:
    if value is None or isinstance(value, (*_SCALARS, Mapping)):
        return False
    if not parts or not isinstance(value, Sequence):
        return True
    # Many write tuple[float] where they mean any number of floats.
    if kind is tuple and len(parts) > 1 and parts[-1] is not Ellipsis:
        pairs = zip(parts, value, strict=False)
        return len(parts) == len(value) and all(accepts(part, item) for part, item in pairs)
    return all(accepts(parts[0], item) for item in value)


def describe(annotation: Any) -> str:
    """The annotation in the words of a message."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(part) for part in parts)
    if origin is Literal:
        return " or ".join(repr(part) for part in parts)
    if annotation in (None, types.NoneType):
        return "null"
    if (origin or annotation) in _SEQUENCES:
        inner = [describe(part) for part in parts if part is not Ellipsis]
        return f"a list ({', '.join(inner)})" if inner else "a list"
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    return names.get(annotation) or str(getattr(annotation, "__name__", annotation))


def parameter_types(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a callable's parameters by name, as far as they can be evaluated.

    Of a class also those of its base classes, to which keyword arguments are passed on.
    """
    if not inspect.isclass(target):
        return _annotations(target)
    found: dict[str, Any] = {}
    for one in reversed(target.__mro__):
        if "__init__" in vars(one):
            found.update(_annotations(vars(one)["__init__"]))
    return found


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError, SyntaxError):
        # Names that exist for type checkers only: such a callable checks its arguments itself.
        return {}


def kinds(value: Any) -> set[str]:
    """Of which kinds the value is, or its entries at any depth if it is a list.

    Numbers, texts and booleans; anything else is of no kind.
    """
    if isinstance(value, bool):
        return {"True or False"}
    if isinstance(value, (int, float)):
        return {"a number"}
    if isinstance(value, str):
        return {"a text"}
    if isinstance(value, Sequence):
        return {kind for item in value for kind in kinds(item)}
    return set()


def is_number(value: Any) -> bool:
    """Whether it is an int or a float; a bool is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
