"""Building the objects that a lazy configuration describes."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from ..utils.registry import _convert_target_to_string, locate

__all__ = ["dump_dataclass", "instantiate"]


def dump_dataclass(obj: Any) -> dict[str, Any]:
    """A dataclass instance as a description that ``instantiate`` turns back into the instance.

    Nested dataclasses, also in lists, are described likewise.
    """
    if not is_dataclass(obj) or isinstance(obj, type):
        raise TypeError(f"dump_dataclass takes an instance of a dataclass, not {obj!r}.")

    def describe(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return dump_dataclass(value)
        if isinstance(value, (list, tuple)):
            return [describe(item) for item in value]
        return value

    described = {field.name: describe(getattr(obj, field.name)) for field in fields(obj)}
    return {"_target_": _convert_target_to_string(type(obj)), **described}


def _callable_and_name(target: Any) -> tuple[Callable[..., Any], str]:
    if isinstance(target, str):
        found, name = locate(target), target
    else:
        found = target
        qualified = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', '')}"
        name = repr(target) if qualified == "." else qualified
    if not callable(found):
        raise TypeError(f"'_target_' has to be a function or class, but {name} is {found!r}.")
    return found, name


def _build(description: Mapping[str, Any]) -> Any:
    # Items of a DictConfig come resolved: interpolations are replaced by their values.
    arguments = {str(key): instantiate(value) for key, value in description.items()}
    target, name = _callable_and_name(arguments.pop("_target_"))
    try:
        return target(**arguments)
    except TypeError as error:
        raise TypeError(f"Cannot instantiate {name}: {error}") from error


def instantiate(cfg: Any) -> Any:
    """Call the ``_target_`` of a description with its other entries as keyword arguments.

    Descriptions inside it, also in lists, are instantiated first. What is no description comes
    back as it is.

    Args:
        cfg: a mapping with the key ``_target_`` (a callable or its dotted name), a list of such,
            a structured (dataclass) config, or any other value.

    Raises:
        ImportError: a target's dotted name leads nowhere.
        TypeError: a target is not callable or refuses its arguments; the message names it.
    """
    if isinstance(cfg, ListConfig):
        return ListConfig([instantiate(item) for item in cfg], flags={"allow_objects": True})
    if isinstance(cfg, list):
        return [instantiate(item) for item in cfg]
    if isinstance(cfg, DictConfig) and is_dataclass(OmegaConf.get_type(cfg)):
        return OmegaConf.to_object(cfg)
    if isinstance(cfg, Mapping) and "_target_" in cfg:
        return _build(cfg)
    return cfg
