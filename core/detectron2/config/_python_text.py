"""Lazy configurations as Python-like text, to be read and compared."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..utils.registry import _convert_target_to_string

WIDTH = 88


def _bracketed(opening: str, items: list[str], closing: str, indent: int) -> str:
    """The items in one line where they fit, else each in a line of its own."""
    line = f"{opening}{', '.join(items)}{closing}"
    if not items or (len(line) + indent <= WIDTH and "\n" not in line):
        return line
    pad = " " * (indent + 4)
    body = "".join(f"{pad}{item},\n" for item in items)
    return f"{opening}\n{body}{' ' * indent}{closing}"


def expression(value: Any, indent: int = 0) -> str:
    """``value`` as an expression: a description with ``_target_`` becomes a call."""
    if isinstance(value, Mapping) and "_target_" in value:
        name = _convert_target_to_string(value["_target_"])
        keys = sorted(key for key in value if key != "_target_")
        arguments = [f"{key}={expression(value[key], indent + 4)}" for key in keys]
        return _bracketed(f"{name}(", arguments, ")", indent)
    if isinstance(value, Mapping):
        entries = [f"{key!r}: {expression(value[key], indent + 4)}" for key in sorted(value)]
        return _bracketed("{", entries, "}", indent)
    if isinstance(value, list):
        return _bracketed("[", [expression(item, indent + 4) for item in value], "]", indent)
    return repr(value)


def assignments(value: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """One ``prefix.key = expression`` for each leaf and each description, sorted by key."""
    for key in sorted(value):
        item = value[key]
        if isinstance(item, Mapping) and item and "_target_" not in item:
            yield from assignments(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {expression(item)}"
