"""The YAML configuration node, and classes that can be built from it."""

import copy
import functools
import inspect
import logging
from collections.abc import Callable
from typing import IO, Any

from fvcore.common.config import CfgNode as _CfgNode
from omegaconf import DictConfig
from yacs.config import CfgNode as _PlainNode
from yaml.constructor import ConstructorError

from detectron2.utils.unavailable import INTERNALS, unavailable

from ..utils.file_io import PathManager
from ._yaml import with_line
from .compat import CONFIG_VERSION, guess_version, upgrade_values
from .defaults import DEFAULTS


class CfgNode(_CfgNode):
    """A tree of configuration values with fixed keys, on fvcore's node of the same name.

    It adds ``detectron2://`` and web addresses as places of files, and a check of ``VERSION``.
    """

    @classmethod
    def _open_cfg(cls, filename: str) -> IO[Any]:
        return PathManager.open(filename, "r")

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = False) -> None:
        """Take over the values of a YAML file and of the files it names under ``_BASE_``.

        Keys of older versions of Detectron2 are understood, with a warning.

        Args:
            cfg_filename: path or address.
            allow_unsafe: allow YAML tags that make Python objects, i.e. run code. Detectron2's
                default is True.

        Raises:
            FileNotFoundError: no such file.
            KeyError: the file has a key that this node lacks.
            ValueError: a value's type differs from the present value's; the file is written for
                a newer version of the keys; or it has a tag that makes a Python object.
        """
        if not PathManager.isfile(cfg_filename):
            raise FileNotFoundError(f"Config file '{cfg_filename}' does not exist.")
        try:
            values = self.load_yaml_with_base(cfg_filename, allow_unsafe=allow_unsafe) or {}
        except ConstructorError as error:
            raise ValueError(
                f"Config file '{cfg_filename}' or its base, {with_line(error)}: write the value "
                "itself there, or pass allow_unsafe=True if you trust the file."
            ) from error
        if "VERSION" in self:
            self._upgrade(values, cfg_filename)
        try:
            self.merge_from_other_cfg(type(self)(values))
        except (KeyError, ValueError) as error:
            raise type(error)(f"Config file '{cfg_filename}': {error.args[0]}") from error

    def _upgrade(self, values: dict[str, Any], filename: str) -> None:
        """Give what a file says the names of this version's keys, with a warning."""
        version = values.get("VERSION")
        if version is None:
            version = guess_version(values, filename)
        if version not in range(CONFIG_VERSION + 1):
            raise ValueError(
                f"Config file '{filename}' is written for VERSION {version} of the keys, this "
                f"library knows versions up to {CONFIG_VERSION}: rename its keys and set VERSION."
            )
        if version == CONFIG_VERSION:
            return
        logging.getLogger(__name__).warning(
            "Config file '%s' has the keys of version %s; their new names are used.",
            filename,
            version,
        )
        architecture = self.get("MODEL", {}).get("META_ARCHITECTURE", "")
        upgrade_values(values, version, CONFIG_VERSION, architecture)
        values["VERSION"] = CONFIG_VERSION

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """The tree as YAML text; arguments as for ``yaml.safe_dump``."""
        return super().dump(*args, **kwargs)


_C = CfgNode(copy.deepcopy(DEFAULTS))
"""What ``get_cfg`` copies. Projects add their keys' defaults to it."""

global_cfg = CfgNode()
"""The values that ``set_global_cfg`` has last been given."""


def set_global_cfg(cfg: CfgNode) -> None:
    """Let ``global_cfg`` show ``cfg``'s values, for code that cannot be handed a config."""
    global_cfg.clear()
    global_cfg.update(cfg)


def get_cfg() -> CfgNode:
    """A new configuration with every key at its default; see ``defaults.py``."""
    return _C.clone()


def _is_config(value: Any) -> bool:
    return isinstance(value, (_PlainNode, DictConfig))


def _called_with_cfg(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return _is_config(args[0] if args else kwargs.get("cfg"))


def _explicit_arguments(
    from_config: Callable[..., dict[str, Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The keyword arguments that ``from_config`` makes of a call with a config.

    Keywords that ``from_config`` does not take override its answer.
    """
    parameters = inspect.signature(from_config).parameters
    if next(iter(parameters), None) != "cfg":
        raise TypeError(f"{from_config.__qualname__}() has to take 'cfg' as its first argument.")
    kinds = {parameter.kind for parameter in parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return from_config(*args, **kwargs)
    understood = {name: value for name, value in kwargs.items() if name in parameters}
    overriding = {name: value for name, value in kwargs.items() if name not in parameters}
    return {**from_config(*args, **understood), **overriding}


def _configurable_init(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        from_config = getattr(type(self), "from_config", None)
        if not inspect.ismethod(from_config):
            error = AttributeError if from_config is None else TypeError
            raise error(
                f"{type(self).__name__} uses @configurable and therefore needs a classmethod "
                "'from_config(cls, cfg)'."
            )
        if _called_with_cfg(args, kwargs):
            init(self, **_explicit_arguments(from_config, args, kwargs))
        else:
            init(self, *args, **kwargs)

    return wrapped


def _configurable_function(
    function: Callable[..., Any], from_config: Callable[..., dict[str, Any]]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if _called_with_cfg(args, kwargs):
            return function(**_explicit_arguments(from_config, args, kwargs))
        return function(*args, **kwargs)

    wrapped.from_config = from_config  # type: ignore[attr-defined]
    return wrapped


def configurable(
    init_func: Callable[..., Any] | None = None,
    *,
    from_config: Callable[..., dict[str, Any]] | None = None,
) -> Callable[..., Any]:
    """Let a constructor or function with explicit arguments also be called with a config.

    On ``__init__`` (without parentheses), the class's ``from_config(cls, cfg, ...)`` classmethod
    translates a config into keyword arguments::

        class Head:
            @configurable
            def __init__(self, channels, norm="BN"): ...

            @classmethod
            def from_config(cls, cfg):
                return {"channels": cfg.MODEL.HEAD.CHANNELS}

        Head(channels=8)       # explicit
        Head(cfg)              # Head(**Head.from_config(cfg))
        Head(cfg, norm="GN")   # the same, with norm overridden

    On a function the translation is an argument: ``@configurable(from_config=lambda cfg: {...})``.
    A call counts as one with a config when its first argument, or the keyword ``cfg``, is a
    ``CfgNode`` or an omegaconf ``DictConfig``.
    """
    if init_func is not None:
        if from_config is not None or getattr(init_func, "__name__", "") != "__init__":
            raise AssertionError(
                "@configurable without arguments belongs on __init__: give from_config= for a "
                "function."
            )
        return _configurable_init(init_func)
    if not inspect.isfunction(from_config) and not inspect.ismethod(from_config):
        raise AssertionError("@configurable() needs from_config=, a function of 'cfg'.")
    translation: Callable[..., dict[str, Any]] = from_config

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isclass(function) or function.__name__ == "__init__":
            raise AssertionError("@configurable(from_config=...) is for functions.")
        return _configurable_function(function, translation)

    return decorate


_get_args_from_config = unavailable(__name__, INTERNALS, "_get_args_from_config")
