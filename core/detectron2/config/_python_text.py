"""Lazy configurations as Python-like text, to be read and compared."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..utils.registry import _convert_target_to_string

WIDTH = 88


def _bracketed(opening: str, items: list[str], closing: str, indent: int, before: int) -> str:
    """The items in one line where they fit behind what is ``before`` them, else one per line."""
    line = f"{opening}{', '.join(items)}{closing}"
    # Within brackets a comma follows.
    if not items or (indent + before + len(line) + (indent > 0) <= WIDTH and "\n" not in line):
        return line
    pad = " " * (indent + 4)
    body = "".join(f"{pad}{item},\n" for item in items)
    return f"{opening}\n{body}{' ' * indent}{closing}"


def _literal(value: Any) -> str:
    """``repr`` with double quotes, where that needs no escapes."""
    text = repr(value)
    quoted = isinstance(value, str) and text[0] == "'" and '"' not in text
    return f'"{text[1:-1]}"' if quoted else text


def expression(value: Any, indent: int = 0, before: int = 0) -> str:
    """``value`` as an expression: a description with ``_target_`` becomes a call.

    Args:
        value: a plain container or value.
        indent: of the line that it begins in.
        before: characters in that line before it.
    """

    def labelled(label: str, item: Any) -> str:
        return label + expression(item, indent + 4, len(label))

    if isinstance(value, Mapping) and "_target_" in value:
        name = _convert_target_to_string(value["_target_"])
        keys = sorted(key for key in value if key != "_target_")
        items, ends = [labelled(f"{key}=", value[key]) for key in keys], (f"{name}(", ")")
    elif isinstance(value, Mapping):
        items, ends = [labelled(f"{_literal(k)}: ", value[k]) for k in sorted(value)], ("{", "}")
    elif isinstance(value, list):
        items, ends = [labelled("", item) for item in value], ("[", "]")
    else:
        return _literal(value)
    return _bracketed(ends[0], items, ends[1], indent, before)


def assignments(value: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """One ``prefix.key = expression`` for each leaf and each description, sorted by key."""
    for key in sorted(value):
        item = value[key]
        if isinstance(item, Mapping) and item and "_target_" not in item:
            yield from assignments(item, f"{prefix}{key}.")
        else:
            label = f"{prefix}{key} = "
            yield label + expression(item, before=len(label))
