"""Configurations as Python files: objects described by their constructor's name and arguments."""

import difflib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

import cloudpickle
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf, SCMode

from detectron2.utils.unavailable import INTERNALS, unavailable

from ..utils.file_io import PathManager
from ..utils.registry import _convert_target_to_string, locate
from ._loader import PACKAGE, cast_to_config, run_config_file
from ._loader import cast_to_config as _cast_to_config  # noqa: F401
from ._python_text import assignments, expression
from ._yaml import load_saved, with_line
from .instantiate import dump_dataclass

__all__ = ["LazyCall", "LazyConfig"]


class LazyCall:
    """``LazyCall(f)(a=1)`` describes the call ``f(a=1)`` for ``instantiate`` to make later.

    The description is a ``DictConfig`` with the arguments and the key ``_target_``.
    """

    def __init__(self, target: Callable[..., Any] | str | Mapping[str, Any]) -> None:
        """Remember the target: a callable, its dotted name, or the description of a callable."""
        if not (callable(target) or isinstance(target, (str, Mapping))):
            raise TypeError(
                f"LazyCall takes a function, a class or the dotted name of one, not {target!r}."
            )
        self._target = target

    def __call__(self, **kwargs: Any) -> DictConfig:
        """The description of a call with these keyword arguments."""
        # omegaconf would take a dataclass for the schema of a structured config.
        as_name = is_dataclass(self._target)
        target = _convert_target_to_string(self._target) if as_name else self._target
        content: dict[Any, Any] = {**kwargs, "_target_": target}
        return DictConfig(content, flags={"allow_objects": True})


def _is_container(value: Any) -> bool:
    return isinstance(value, (dict, DictConfig, ListConfig))


def _is_data(name: str, value: Any) -> bool:
    """Whether it may be a value of the configuration, not an import or a private name."""
    return not (name.startswith("_") or callable(value) or isinstance(value, ModuleType))


def _run(filename: str) -> dict[str, Any]:
    """The names that a .py or .yaml config file defines."""
    if not filename.endswith((".py", ".yaml", ".yml")):
        raise ValueError(f"Config file {filename} has to be a .py or .yaml file.")
    if not PathManager.isfile(filename):
        raise FileNotFoundError(f"Config file {filename} does not exist.")
    if filename.endswith(".py"):
        return run_config_file(filename)
    with PathManager.open(filename, "r") as file:
        try:
            content = load_saved(file)
        except yaml.YAMLError as error:
            pickled = f"{filename}.pkl"
            remedy = f" ({pickled} holds the whole config)" if PathManager.isfile(pickled) else ""
            raise ValueError(
                f"Config file {filename} cannot be loaded{remedy}: {with_line(error)}"
            ) from error
    if not isinstance(content, dict):
        raise ValueError(f"Config file {filename} has to hold a mapping of keys to values.")
    # Names beginning with "_", which are private in Python, are plain keys in YAML.
    config = OmegaConf.create(content, flags={"allow_objects": True})
    return {str(key): _top_level_value(config, key) for key in config}


def _top_level_value(config: DictConfig, key: Any) -> Any:
    """The value under a key of a whole file; an interpolation as it is written there."""
    if OmegaConf.is_interpolation(config, key):
        return OmegaConf.to_container(config, resolve=False)[key]  # type: ignore[index]
    return config[key]


def _nameable(target: Any) -> str | None:
    """A dotted name that leads back to ``target``, or None (functions of a config file...)."""
    try:
        name = _convert_target_to_string(target)
        return name if locate(name) is target else None
    except (ImportError, AttributeError):
        return None


def _with_named_targets(value: Any) -> Any:
    """``value`` with names for the callables under ``_target_``, and dataclasses as such calls."""
    if isinstance(value, dict):
        named = {key: _with_named_targets(item) for key, item in value.items()}
        target = value.get("_target_")
        if callable(target):
            named["_target_"] = _nameable(target) or target
        return named
    if is_dataclass(value) and not isinstance(value, type) and _nameable(type(value)):
        return dump_dataclass(value)
    return [_with_named_targets(item) for item in value] if isinstance(value, list) else value


def _parse_override(parser: OverridesParser, text: str) -> tuple[Override, Any]:
    try:
        override = parser.parse_override(text)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise OverrideParseException(
            override=text, message=f"Cannot read the override '{text}': {reason}; write key=value."
        ) from error
    if override.is_delete():
        raise NotImplementedError(f"Override '{text}': keys cannot be deleted.")
    if override.is_sweep_override() and not hasattr(override.value(), "start"):
        raise ValueError(
            f"Override '{text}' gives several values: write a list as key=[1,2] and quote a "
            "string that holds a comma."
        )
    return override, override.value()


def _check_way(cfg: DictConfig, key: str, is_addition: bool) -> None:
    """Refuse a key below a leaf; log a new key, which is more often a typing error."""
    parts = key.split(".")
    for depth, part in enumerate(parts):
        node = OmegaConf.select(cfg, ".".join(parts[:depth])) if depth else cfg
        if node is None:
            break
        if not OmegaConf.is_config(node):
            raise KeyError(
                f"Cannot set '{key}': '{'.'.join(parts[:depth])}' is {node!r}, which has no keys."
            )
        if isinstance(node, DictConfig) and part not in node and not is_addition:
            near = difflib.get_close_matches(part, [str(name) for name in node], n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            logging.getLogger(__name__).warning(
                "The override of '%s' adds a key that the config does not have%s.", key, hint
            )
            break


class LazyConfig:
    """Loading, saving and changing of configurations that are Python files.

    A config file is a Python file whose global dicts and ``LazyCall`` descriptions are the
    configuration. ``from .other import model`` imports from a config file beside it; such values
    are private copies.
    """

    @staticmethod
    def load(filename: str, keys: str | tuple[str, ...] | None = None) -> Any:
        """The configuration in a ``.py`` or ``.yaml`` file.

        Loading a ``.py`` file runs it. Loading YAML runs nothing in it: its tags may stand for
        tuples, and for functions and classes by their names. ``instantiate`` calls what a
        configuration of either kind names.

        Args:
            filename: path or address.
            keys: a name gives that value alone, a tuple of names a tuple of values; None gives
                all public dicts and descriptions as one ``DictConfig``.

        Raises:
            FileNotFoundError, SyntaxError, ImportError, KeyError, ValueError: the message names
                the file and what is missing or wrong. What the file itself raises comes through.
        """
        filename = os.fspath(filename).replace("/./", "/")
        names = _run(filename)
        is_yaml = not filename.endswith(".py")
        if keys is None:
            public = {
                name: cast_to_config(value)
                for name, value in names.items()
                if _is_container(value) and not name.startswith("_")
            }
            if is_yaml:
                public = names
            return OmegaConf.create(public, flags={"allow_objects": True})
        wanted = (keys,) if isinstance(keys, str) else tuple(keys)
        for key in wanted:
            if key not in names:
                known = ", ".join(sorted(name for name in names if _is_data(name, names[name])))
                raise KeyError(f"Config file {filename} does not define '{key}', but {known}.")
        # Below a whole config, so that interpolations find what they name.
        whole = OmegaConf.create(names, flags={"allow_objects": True}) if is_yaml else names
        values = tuple(cast_to_config(whole[key]) for key in wanted)
        return values[0] if isinstance(keys, str) else values

    @staticmethod
    def load_rel(filename: str, keys: str | tuple[str, ...] | None = None) -> Any:
        """Like ``load``, with the path relative to the file of the calling code."""
        caller = sys._getframe(1).f_code.co_filename
        if caller.startswith("<"):
            raise FileNotFoundError(f"load_rel('{filename}') has to be called from code in a file.")
        return LazyConfig.load(os.path.join(os.path.dirname(caller), filename), keys)

    @staticmethod
    def save(cfg: Any, filename: str) -> None:
        """Write a configuration as YAML, which ``load`` reads again.

        Where YAML cannot hold an object in it without running code when it is loaded (a lambda, a
        class of a config file, an instance of a class), the config is also pickled with cloudpickle
        next to the file, as ``filename + ".pkl"``.
        """
        logger = logging.getLogger(__name__)
        try:
            content = OmegaConf.to_container(
                cfg, resolve=False, structured_config_mode=SCMode.INSTANTIATE
            )
            text = yaml.dump(
                _with_named_targets(content),
                default_flow_style=None,
                allow_unicode=True,
                width=9999,
            )
            with PathManager.open(filename, "w") as file:
                file.write(text)
            load_saved(text)
        except Exception as error:  # yaml runs the objects' own code, which may raise anything
            reason = " ".join(str(getattr(error, "problem", None) or error).split())
            with PathManager.open(f"{filename}.pkl", "wb") as file:
                cloudpickle.dump(cfg, file)
            logger.warning(
                "The config is pickled as %s.pkl, because YAML cannot hold all of it (%s).",
                filename,
                reason,
            )

    @staticmethod
    def apply_overrides(cfg: DictConfig, overrides: list[str]) -> DictConfig:
        """Set values from ``key=value`` texts in Hydra's override grammar, in place.

        A key that is not there is added and logged; with ``+key=value`` it is added silently.
        A mapping is merged into a mapping that is there.

        Args:
            cfg: the configuration to change.
            overrides: e.g. ``["optimizer.lr=0.01", "train.ddp={fp16_compression: true}"]``.

        Returns:
            ``cfg``.

        Raises:
            OverrideParseException, KeyError, ValueError, NotImplementedError: the message names
                the override.
        """
        if not isinstance(cfg, DictConfig):
            raise TypeError(f"Overrides apply to a DictConfig, not to a {type(cfg).__name__}.")
        parser = OverridesParser.create()
        parsed = [_parse_override(parser, text) for text in overrides]
        for override, value in parsed:
            _check_way(
                cfg, override.key_or_group, is_addition=override.is_add() or override.is_force_add()
            )
            OmegaConf.update(cfg, override.key_or_group, value, merge=True)
        return cfg

    @staticmethod
    def to_py(cfg: Any, prefix: str = "cfg.") -> str:
        """The configuration as Python-like text: interpolations resolved, calls written as calls.

        Args:
            cfg: a configuration.
            prefix: what stands before every key.
        """
        content: Any = OmegaConf.to_container(cfg, resolve=True)
        if isinstance(content, dict) and "_target_" not in content:
            return "".join(f"{line}\n" for line in assignments(content, prefix))
        return f"{prefix}{expression(content)}\n"


(_patch_import, _validate_py_syntax, _visit_dict_config, _random_package_name) = unavailable(
    __name__, INTERNALS, "_patch_import _validate_py_syntax _visit_dict_config _random_package_name"
)
_CFG_PACKAGE_NAME = PACKAGE
