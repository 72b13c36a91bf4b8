"""Running Python config files, which may import each other relatively without being packages."""

import builtins
import os
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from omegaconf import DictConfig

from ..utils.file_io import PathManager

PACKAGE = "detectron2._cfg_loader"
"""The package that config files believe to be in; it does not exist."""


def cast_to_config(value: Any) -> Any:
    """A plain dict as a ``DictConfig`` that may hold any object; other values unchanged."""
    return DictConfig(value, flags={"allow_objects": True}) if isinstance(value, dict) else value


def _relative_file(importing: str, name: str, level: int) -> str:
    """The config file that ``from <level dots><name> import ...`` means in ``importing``."""
    folder = os.path.dirname(importing)
    for _ in range(level - 1):
        folder = os.path.dirname(folder) if folder not in ("", "..") else os.path.join(folder, "..")
    path = os.path.join(folder, *name.split(".")).rstrip("/")
    if not name or (PathManager.isdir(path) and not PathManager.isfile(f"{path}.py")):
        raise ImportError(
            f"Config file {importing} imports the folder {path}: a relative import in a config "
            "file has to name another config file, as in 'from .file import name'."
        )
    if not PathManager.isfile(f"{path}.py"):
        raise ImportError(f"Config file {importing} imports from {path}.py, which does not exist.")
    return f"{path}.py"


def _importer(importing: str) -> Callable[..., ModuleType]:
    """An ``__import__`` for the code of config file ``importing``."""

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        path = _relative_file(importing, name, level)
        module = ModuleType(f"{PACKAGE}.{name}")
        vars(module).update(run_config_file(path))
        wanted = fromlist or ()
        for key in list(vars(module)) if "*" in wanted else wanted:
            if not key.startswith("__") and key in vars(module):
                setattr(module, key, cast_to_config(getattr(module, key)))
        return module

    return import_


def run_config_file(filename: str) -> dict[str, Any]:
    """Execute a Python config file and return its global names.

    Its relative imports run the imported config files anew, so that changing an imported value
    never changes another config. The importing function lives in the file's own builtins: Python's
    is untouched, whatever the file does.

    Raises:
        SyntaxError: the file is no Python; the message names file and line.
    """
    with PathManager.open(filename, "r") as file:
        source = file.read()
    try:
        code = compile(source, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SyntaxError(
            f"Config file {filename} has a syntax error in line {error.lineno}: {error.msg}."
        ) from error
    namespace: dict[str, Any] = {
        "__file__": filename,
        "__package__": f"{PACKAGE}.{os.path.basename(filename)}",
        "__builtins__": {**vars(builtins), "__import__": _importer(filename)},
    }
    exec(code, namespace)
    return namespace
