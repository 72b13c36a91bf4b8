"""YAML config files are read only if nothing in them runs code while they are read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager
from projects_ext.errors import MissingFileError, UserError

BASE_KEY = "_BASE_"

_STANDARD = "tag:yaml.org,2002:"
_PLAIN = frozenset(
    f"{_STANDARD}{name}"
    for name in (
        *("null", "bool", "int", "float", "str", "seq", "map", "binary", "timestamp"),
        *("set", "omap", "pairs", "merge", "value"),
    )
)
"""YAML's own tags, which stand for values."""

_TUPLE, _NAME = f"{_STANDARD}python/tuple", f"{_STANDARD}python/name:"
"""As LazyConfig saves tuples, and functions and classes: like ``_target_``, by their names."""


def read_structure(yaml_file: str) -> yaml.MappingNode:
    """The structure of a YAML config file, read without making what its tags stand for.

    Raises:
        UserError: it is no YAML, or no mapping of keys to values.
    """
    with PathManager.open(yaml_file, "r") as file:
        try:
            node = yaml.compose(file, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{yaml_file} is no valid YAML: {reason}") from error
        except RecursionError as error:
            raise UserError(f"{yaml_file} is no config: it is nested too deeply") from error
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{yaml_file} holds no config: it must be a mapping of keys to values")
    return node


def refuse_tags(yaml_file: str, *, saved_lazy: bool) -> None:
    """Check that reading a YAML config file, and all that it names as ``_BASE_``, runs no code.

    Detectron2 reads both kinds of configs with a loader that makes any Python object.

    Args:
        yaml_file: path or address.
        saved_lazy: whether it is a LazyConfig, which is saved with tags for tuples and for the
            names of functions and classes.

    Raises:
        UserError: a tag stands for anything but plain values; or a base file is missing or is based
            on itself.
    """
    _refuse_tags(yaml_file, saved_lazy, ())


def _refuse_tags(yaml_file: str, saved_lazy: bool, above: tuple[str, ...]) -> None:
    if yaml_file in above:
        raise UserError(
            f"{above[-1]}: its {BASE_KEY} {yaml_file} is based on it in turn: correct it"
        )
    root = read_structure(yaml_file)
    for node in _nodes(root):
        if node.tag in _PLAIN:
            continue
        if node.tag == _TUPLE and isinstance(node, yaml.SequenceNode):
            continue
        if saved_lazy and node.tag.startswith(_NAME):
            continue
        tag = node.tag.replace(_STANDARD, "!!")
        raise UserError(
            f"{yaml_file}:{node.start_mark.line + 1}: the tag {tag} {_reason(node.tag)}: write the "
            "value itself there"
        )
    _refuse_repeated_keys(yaml_file, root)
    for base in _bases(root):
        path = _path_of_base(base, yaml_file)
        if not PathManager.isfile(path):
            raise MissingFileError(f"{yaml_file}: its {BASE_KEY} {path} is not there: correct it")
        _refuse_tags(path, saved_lazy, (*above, yaml_file))


@contextmanager
def tuples_are_values() -> Iterator[None]:
    """Within, YAML's safe loader reads the tag ``!!python/tuple``, which old configs have.

    Only tuples are made: every other tag of Python remains an error of that loader.
    """
    constructors = yaml.SafeLoader.yaml_constructors
    before = dict(constructors)
    yaml.SafeLoader.add_constructor(_TUPLE, _tuple)
    try:
        yield
    finally:
        yaml.SafeLoader.yaml_constructors = before


def _tuple(loader: yaml.SafeLoader, node: yaml.Node) -> tuple[Any, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise yaml.constructor.ConstructorError(
            None, None, "a tuple has to be a list of values", node.start_mark
        )
    return tuple(loader.construct_sequence(node, deep=True))


def own_keys(yaml_file: str) -> list[str]:
    """The full names of the keys that a YAML config sets itself, not by its ``_BASE_``.

    Args:
        yaml_file: path or address; read before without an error.
    """
    found, waiting = [], [("", read_structure(yaml_file))]
    while waiting:
        prefix, node = waiting.pop()
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            found.append(name)
            if isinstance(value, yaml.MappingNode):
                waiting.append((f"{name}.", value))
    return found


def _reason(tag: str) -> str:
    if tag == _TUPLE:
        return "is for a list of values"
    if tag.startswith(f"{_STANDARD}python/"):
        return "makes a Python object, which could run code, and is refused"
    return "is not known and is refused"


def _refuse_repeated_keys(yaml_file: str, root: yaml.MappingNode) -> None:
    """Of two values for one key YAML's loader takes the last without a word."""
    for node in _nodes(root):
        lines: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_STANDARD}merge":
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise UserError(
                    f"{yaml_file}:{line}: the key {key.value} is already in line "
                    f"{lines[key.value]} of the same section: take one of them out"
                )
            lines[key.value] = line


def refuse_empty_sections(yaml_file: str, cfg: CfgNode) -> None:
    """Check that what a YAML config has in place of sections are sections.

    Args:
        yaml_file: path or address; the files that it names as ``_BASE_`` are not looked at.
        cfg: the default config, which knows what is a section.

    Raises:
        UserError: with line and key.
    """
    waiting = [("", read_structure(yaml_file), cfg)]
    while waiting:
        prefix, node, known = waiting.pop()
        for key, value in node.value:
            section = known.get(key.value) if isinstance(key, yaml.ScalarNode) else None
            if not isinstance(section, CfgNode):
                continue
            name = f"{prefix}{key.value}"
            if not isinstance(value, yaml.MappingNode):
                what = repr(value.value) if value.value else "empty"
                raise UserError(
                    f"{yaml_file}:{key.start_mark.line + 1}: {name} is {what}: it is a section "
                    f"with keys of its own, such as {name}.{next(iter(section), 'KEY')}; take it "
                    "out, or write these below it"
                )
            waiting.append((f"{name}.", value, section))


def _nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """Every node once; one with several aliases is the same object at each of its places."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _bases(root: yaml.MappingNode) -> list[str]:
    """The values of ``_BASE_``: a text or a list of texts."""
    found: list[Any] = []
    for key, value in root.value:
        if key.value == BASE_KEY:
            found += value.value if isinstance(value, yaml.SequenceNode) else [value]
    return [node.value for node in found if isinstance(node, yaml.ScalarNode)]


def _path_of_base(base: str, yaml_file: str) -> str:
    """Where a base file is; a relative path starts at the folder of the file that names it."""
    if base.startswith("~"):
        return os.path.expanduser(base)
    if base.startswith(("/", "https://", "http://")):
        return base
    return os.path.join(os.path.dirname(yaml_file), base)
