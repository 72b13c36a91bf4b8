"""Config files that cannot be read and keys that do not exist: where, and what was meant."""

import difflib
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from detectron2.config import CfgNode, LazyConfig
from projects_ext.errors import MissingFileError, UserError

from .value_types import kinds

NEAREST = 3


@contextmanager
def config_file_errors(config_file: str, cfg: CfgNode | None = None) -> Iterator[None]:
    """Within (while a config file is read), whatever fails is said with file and line.

    Args:
        config_file: the path on the command line; the mistake may be in a file that it imports.
        cfg: the node that a YAML file is merged into; it knows which keys there are.

    Raises:
        UserError: in place of any exception; a config file is the user's own text.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{config_file}: {_first_line(error)}: correct the path") from error
    except Exception as error:
        unknown = re.search(r"Non-existent config key: ([\w.]+)", str(error))
        if unknown and cfg is not None:
            sentence = unknown_key(unknown[1], list(_dotted(cfg)), "take it out")
            raise UserError(f"{config_file}: {sentence}") from error
        raise UserError(f"{_explain(error, config_file)}: correct the config file there") from error


def _explain(error: Exception, config_file: str) -> str:
    """``file:line: what is wrong``, as far as it can be known."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SyntaxError) and cause.lineno:
            # Detectron2 compiles texts; then it is its own message that names the file.
            named = re.search(r"[Cc]onfig file (\S+\.py)", str(error))
            file = named[1] if named else cause.filename or config_file
            return f"{file}:{cause.lineno}: {cause.msg}"
        mark = getattr(cause, "problem_mark", None)
        if mark is not None:
            return f"{config_file}:{mark.line + 1}: {getattr(cause, 'problem', None) or cause}"
        cause = cause.__cause__
    what = str(error.args[0]) if isinstance(error, KeyError) and error.args else _first_line(error)
    what = what.removeprefix(f"Config file '{config_file}': ")
    if config_file.endswith(".py") and not isinstance(error, (KeyError, ValueError)):
        what = f"{type(error).__name__}: {what}"
    return f"{_place(error, config_file)}: {what}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".:!") or type(error).__name__


def _place(error: BaseException, config_file: str) -> str:
    """``file:line`` of the innermost place in a config file that the error comes from."""
    if config_file.endswith(".py"):
        folder = Path(config_file).resolve().parent
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            # Relative imports lead to files beside the config or in folders above it.
            if frame.name == "<module>" and _is_beside(Path(frame.filename), folder):
                return f"{frame.filename}:{frame.lineno}"
    return config_file


def _is_beside(file: Path, folder: Path) -> bool:
    if not file.is_file() or "site-packages" in file.parts:
        return False
    above = {folder, *list(folder.parents)[:3]}
    return not above.isdisjoint(file.resolve().parents)


def apply_lazy_overrides(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """``LazyConfig.apply_overrides`` for keys that the config has; ``+key=value`` adds one.

    Raises:
        UserError: a text is no ``key=value``, or the key is unknown (with the nearest known ones).
    """
    parser = OverridesParser.create()
    for text in overrides:
        try:
            override = parser.parse_override(text)
            if not override.key_or_group:
                raise HydraException("no key")
        except HydraException as error:
            raise UserError(
                f"cannot read {text!r} on the command line: write key=value, and quote values with "
                "special characters, as in 'key=\"a, b\"'"
            ) from error
        if override.is_delete():
            raise UserError(f"{text}: a key cannot be deleted; set it to null")
        if override.is_sweep_override():
            raise UserError(
                f"{text} gives several values: write a list as key=[1,2], and quote a string that "
                "holds a comma"
            )
        if not (override.is_add() or override.is_force_add()):
            _require_lazy_key(cfg, override.key_or_group, override.value())
            _require_same_kind(cfg, override.key_or_group, override.value())
    try:
        return LazyConfig.apply_overrides(cfg, list(overrides))
    except (
        *(ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError),
        *(OmegaConfBaseException, HydraException, RecursionError),
    ) as error:
        reason = error.args[0] if isinstance(error, KeyError) else _first_line(error)
        raise UserError(f"cannot apply {' '.join(overrides)}: {reason}") from error


def _require_lazy_key(cfg: DictConfig, key: str, value: Any) -> None:
    """Refuse a key that is not there, also one inside of a mapping that is to be merged."""
    node: Any = cfg
    for part in key.split("."):
        if not _has(node, part):
            add = f"+{key}=…"
            raise UserError(unknown_key(key, _lazy_keys(cfg), f"add it with {add} if it is meant"))
        node = node[int(part)] if isinstance(node, ListConfig) else node[part]
    if isinstance(value, Mapping) and isinstance(node, DictConfig) and "_target_" not in value:
        for name, entry in value.items():
            _require_lazy_key(cfg, f"{key}.{name}", entry)


def _require_same_kind(cfg: DictConfig, key: str, value: Any) -> None:
    """Refuse a value of another kind than the one it replaces.

    Null, a reference to another key and a description of an object can replace anything; a value
    can replace a description; a list and its single entry can replace each other. With
    ``++key=value`` nothing is compared.
    """
    *parents, last = key.split(".")
    node: Any = cfg
    for part in parents:
        node = node[int(part)] if isinstance(node, ListConfig) else node[part]
    name: Any = int(last) if isinstance(node, ListConfig) else last
    if OmegaConf.is_missing(node, name):
        return
    old = node._get_node(name) if OmegaConf.is_interpolation(node, name) else node[name]
    if isinstance(value, Mapping):
        if isinstance(old, DictConfig) and "_target_" not in value:
            for entry, new in value.items():
                _require_same_kind(cfg, f"{key}.{entry}", new)
        elif kinds(old) and "_target_" not in value:
            raise UserError(f"{key} is {old!r} and has no keys: give it a value of that kind")
        return
    if value is None or (isinstance(value, str) and "${" in value):
        return
    if isinstance(old, DictConfig) and "_target_" not in old:
        raise UserError(
            f"{key} cannot be {value!r}: it is a section with keys of its own; change one of "
            f"those, e.g. {key}.{next(iter(_lazy_keys(old)), 'key')}=…"
        )
    wanted, given = kinds(old), kinds(value)
    if len(wanted) == 1 and not given <= wanted:
        (kind,) = wanted
        text = str([str(item) for item in value]) if isinstance(value, list) else f"'{value}'"
        quoted = f'; quote a text that looks like something else: {key}="{text}"'
        such = f", such as {old!r}" if old else ""
        raise UserError(
            f"{key} cannot be {value!r}: it takes {kind}{such}{quoted * (kind == 'a text')}"
        )


def _has(node: Any, part: str) -> bool:
    if isinstance(node, DictConfig):
        return part in node.keys()  # noqa: SIM118  # `in node` is false for a value of None
    if isinstance(node, ListConfig):
        return part.isdigit() and int(part) < len(node)
    return False


def _lazy_keys(cfg: DictConfig) -> list[str]:
    return list(_dotted(OmegaConf.to_container(cfg, resolve=False)))


def _dotted(content: Any, prefix: str = "") -> Iterator[str]:
    """The full name of every key at any depth."""
    entries: Iterable[tuple[Any, Any]] = ()
    if isinstance(content, Mapping):
        entries = content.items()
    elif isinstance(content, list):
        entries = enumerate(content)
    for key, value in entries:
        if key != "_target_":
            yield f"{prefix}{key}"
            yield from _dotted(value, f"{prefix}{key}.")


def apply_yaml_overrides(cfg: CfgNode, pairs: Sequence[str]) -> None:
    """``cfg.merge_from_list`` with messages that name the nearest known keys.

    Args:
        cfg: a node that is not frozen.
        pairs: key, value, key, value, …

    Raises:
        UserError: a key is unknown, or its value is of another type than the one it replaces.
    """
    known = list(_dotted(cfg))
    for key in pairs[::2]:
        if key not in known:
            raise UserError(unknown_key(key, known, "correct it"))
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        node: Any = cfg
        for part in key.split("."):
            node = node[part]
        if isinstance(node, CfgNode):
            raise UserError(
                f"the config key {key} cannot be {value}: it is a section with keys of its own; "
                f"change one of those, e.g. {key}.{next(_dotted(node), 'KEY')} VALUE"
            )
        try:
            cfg.merge_from_list([key, value])
        except Exception as error:  # yacs evaluates the text, in which anything can be wrong
            raise UserError(
                f"the config key {key} cannot be {value}: it is {node!r}; give a value of that type"
                f"{_same_number(node, value)}"
            ) from error


def _same_number(old: Any, text: str) -> str:
    """The advice how to write a number that is meant, but of the other type of numbers."""
    try:
        number = float(text)
    except ValueError:
        return ""
    if type(old) is float and number.is_integer():
        return f", e.g. {number}"
    if type(old) is int and number.is_integer():
        return f", e.g. {int(number)}"
    return ""


def unknown_key(key: str, known: Sequence[str], otherwise: str) -> str:
    """The sentence on a key that a config does not have.

    Args:
        key: what was given.
        known: all keys, in full.
        otherwise: what to do if none of the nearest ones was meant.
    """
    nearest = nearest_keys(key, known)
    if not nearest:
        return f"the config has no key {key}, and none like it: {otherwise}"
    return (
        f"the config has no key {key}: did you mean {' or '.join(nearest)}? Otherwise {otherwise}"
    )


def nearest_keys(key: str, known: Sequence[str]) -> list[str]:
    """Those of the known keys, at most three, that are most like a given one."""
    wanted = key.lower()
    last = wanted.rpartition(".")[2]

    def likeness(name: str) -> float:
        """Of the whole names, if their last parts are alike; else 0."""
        end = name.lower().rpartition(".")[2]
        alike = difflib.SequenceMatcher(None, end, last).ratio() > 0.65
        part_of = min(len(end), len(last)) > 1 and (end in last or last in end)
        if not (alike or part_of):
            return 0.0
        return difflib.SequenceMatcher(None, name.lower(), wanted).ratio() + (end == last)

    scores = {name: likeness(name) for name in known}
    nearest = sorted((name for name in known if scores[name]), key=lambda name: -scores[name])
    nearest = nearest or [name for name in known if wanted.startswith(f"{name.lower()}.")][-1:]
    return nearest[:NEAREST]


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """The few of the known names that are most like ``name``; none if none is."""
    return difflib.get_close_matches(name, list(known), n=NEAREST)
