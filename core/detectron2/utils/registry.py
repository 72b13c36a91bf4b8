"""Registries of components by name, and the way from an object's dotted name to the object."""

import builtins
import importlib
import pkgutil
from typing import Any

from fvcore.common.registry import Registry

__all__ = ["Registry", "locate"]


def _import_failure(name: str) -> str:
    """Why the deepest module on the way to ``name`` cannot be imported, or what it lacks."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        module = ".".join(parts[:length])
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is not None and (module == error.name or module.startswith(error.name)):
                parent = ".".join(parts[: length - 1])
                if parent:
                    return f"'{parent}' has no attribute or submodule '{parts[length - 1]}'"
                return f"there is no module '{module}' in this environment"
            return f"importing '{module}' fails: {error}"
        except Exception as error:  # whatever the module raises is the answer to give
            return f"importing '{module}' fails: {type(error).__name__}: {error}"
    return "it is not a dotted name of an importable object"


def locate(name: str) -> Any:
    """The object with dotted name ``name``, e.g. ``"torch.nn.Conv2d"``.

    Raises:
        ImportError: no such module or attribute; the message says which part is missing.
    """
    try:
        return pkgutil.resolve_name(name)
    except Exception as error:  # importing a module may raise anything
        if name in vars(builtins):
            return vars(builtins)[name]
        raise ImportError(f"Cannot find '{name}': {_import_failure(name)}.") from error


def _convert_target_to_string(t: Any) -> str:
    """The shortest dotted name under which ``locate`` finds the function or class ``t``.

    A class is often exported from a package above the module that defines it. The exported name is
    preferred: it survives a move between files.
    """
    if isinstance(t, str):
        return t
    packages = t.__module__.split(".")
    for depth in range(1, len(packages)):
        exported = f"{'.'.join(packages[:depth])}.{t.__qualname__}"
        try:
            found = locate(exported)
        except ImportError:
            continue
        if found is t:
            return exported
    return f"{t.__module__}.{t.__qualname__}"
