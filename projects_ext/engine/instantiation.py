"""Objects from the descriptions in a LazyConfig; what cannot be built is named by its key."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from omegaconf import ListConfig

from detectron2.config import instantiate
from detectron2.utils.registry import locate
from projects_ext.errors import UserError

from .choices import check_argument
from .faults import EXHAUSTED
from .ranges import LATER, origin_of, value_of
from .value_types import accepts, describe, parameter_types

TRACEBACK = "PROJECTS_EXT_DEBUG=1 in the environment shows where"


def build(
    node: Any, key: str, within: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Any:
    """What ``detectron2.config.instantiate`` returns, with errors that name the key.

    Args:
        node: a description (a mapping with ``_target_``), a list of such, or any other value.
        key: where in the config it stands.
        within: makes a context around each call, e.g. one that explains some of its errors.

    Raises:
        UserError: a target is unknown, does not take its arguments, or raises an error.
    """
    if isinstance(node, (list, ListConfig)):
        items = [build(item, f"{key}.{index}", within) for index, item in enumerate(node)]
        is_list = isinstance(node, list)
        return items if is_list else ListConfig(items, flags={"allow_objects": True})
    if not (isinstance(node, Mapping) and "_target_" in node):
        return instantiate(node)
    arguments = {
        str(name): build(node[name], f"{key}.{name}", within) for name in node if name != "_target_"
    }
    target = _target(build(node["_target_"], f"{key}._target_", within), key)
    with building(f"{key} ({name_of(target)})", plain_values(arguments)), within():
        return target(**arguments)


def plain_values(arguments: Mapping[str, Any]) -> str:
    """Those arguments that are plain values, for a message."""
    plain = {name: x for name, x in arguments.items() if isinstance(x, (bool, int, float, str))}
    return ", ".join(f"{name}={value!r}" for name, value in plain.items())


@contextmanager
def building(what: str, values: str = "") -> Iterator[None]:
    """Within, while something is built from the config's values alone, any error is the config's.

    The traceback stays in the log file.

    Args:
        what: the key or section, the subject of the message.
        values: from which it is built.

    Raises:
        UserError: in place of any other exception, unless the system has run out of something.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            raise
        text = _reason(error)
        given = f" with {values}" if values else ""
        raise UserError(
            f"{what} cannot be built{given}: {text}; correct its values in the config ({TRACEBACK})"
        ) from error


def _reason(error: Exception) -> str:
    """What an error says, in words for users: they did not raise it."""
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, KeyError) and " " not in text:
        return f"there is no {text}" if text else "no reason given"
    if isinstance(error, KeyError):
        text = " ".join(str(error.args[0]).split()).rstrip(".")  # not its repr
    return text or "no reason given"


def _target(target: Any, key: str) -> Callable[..., Any]:
    """The callable that ``_target_`` means.

    Raises:
        UserError: nothing, or something that cannot be called.
    """
    found = target
    if isinstance(target, str):
        try:
            found = locate(target)
        except Exception as error:  # importing the module runs it
            reason = " ".join(str(error).split()).rstrip(".")
            raise UserError(
                f"{key}._target_ is {target!r}, which cannot be found ({reason}): correct the name"
            ) from error
    if not callable(found):
        raise UserError(
            f"{key}._target_ is {target!r}, which is no function or class: give the full name of "
            "one"
        )
    return found


def name_of(target: Any) -> str:
    """A callable's own name."""
    return getattr(target, "__qualname__", None) or repr(target)


def check_descriptions(node: Any, key: str) -> None:
    """Check every description below ``node`` against its target's signature; nothing is built.

    Raises:
        UserError: an unknown target; an argument that it does not take, needs and does not get, or
            whose type is not the annotated one.
    """
    if isinstance(node, Mapping):
        if "_target_" in node:
            _check_call(node, key)
        for name in node:
            if f"{key}.{name}" not in LATER:
                child = value_of(node, name, f"{key}.{name}")
                check_descriptions(child, f"{key}.{name}")
    elif isinstance(node, (list, ListConfig)):
        for index in range(len(node)):
            child = value_of(node, index, f"{key}.{index}")
            check_descriptions(child, f"{key}.{index}")


def _check_call(node: Mapping[str, Any], key: str) -> None:
    described = value_of(node, "_target_", f"{key}._target_")
    if isinstance(described, Mapping):
        return  # known only when it is built
    target = _target(described, key)
    try:
        parameters = inspect.signature(target).parameters
    except (ValueError, TypeError):
        return  # built in, without a signature
    given = {str(name) for name in node if name != "_target_"}
    later = {name.rpartition(".")[2] for name in LATER if name.rpartition(".")[0] == key}
    _check_names(given | later, parameters, f"{key} ({name_of(target)})", key)
    for name in sorted(given):
        check_argument(f"{key}.{name}", value_of(node, name, f"{key}.{name}"), target)
    types = parameter_types(target)
    for name in sorted(given & types.keys()):
        full = f"{key}.{name}"
        default = parameters[name].default if name in parameters else inspect.Parameter.empty
        if full not in LATER:
            value = value_of(node, name, full)
            _check_type(origin_of(node, name, full), value, types[name], default)


def _check_names(
    given: set[str], parameters: Mapping[str, inspect.Parameter], what: str, key: str
) -> None:
    kinds = {parameter.kind for parameter in parameters.values()}
    named = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    unknown = sorted(given - named.keys())
    if unknown and inspect.Parameter.VAR_KEYWORD not in kinds:
        raise UserError(
            f"{what} takes no {unknown[0]}, but {', '.join(named) or 'no argument'}: correct "
            f"{key}.{unknown[0]} in the config"
        )
    missing = [name for name, one in named.items() if one.default is one.empty]
    missing = [name for name in missing if name not in given]
    if missing and inspect.Parameter.VAR_POSITIONAL not in kinds:
        add = ", ".join(f"+{key}.{name}=…" for name in missing)
        raise UserError(f"{what} needs {', '.join(missing)}: add {add}")


def _check_type(key: str, value: Any, annotation: Any, default: Any) -> None:
    # Annotations leave out what the default shows.
    if (value is None and default is None) or type(value) is type(default):
        return
    if not accepts(annotation, value):
        raise UserError(f"{key} is {value!r}: it must be {describe(annotation)}")
