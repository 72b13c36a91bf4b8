"""Namespace of Detectron2's projects, such as ``detectron2.projects.point_rend``.

None of them is contained. Whoever has a checkout of Detectron2 (or any folder with their packages,
or with folders that hold them, as in ``projects/PointRend/point_rend``) puts its path into the
environment variable ``DETECTRON2_PROJECTS``; several paths are separated as those of ``PATH``.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

__all__: list[str] = []

_PROJECTS = {
    "point_rend": "PointRend",
    "deeplab": "DeepLab",
    "panoptic_deeplab": "Panoptic-DeepLab",
}


def _package(name: str) -> Path | None:
    """The ``__init__.py`` of a project below one of the folders in $DETECTRON2_PROJECTS."""
    for root in filter(None, os.environ.get("DETECTRON2_PROJECTS", "").split(os.pathsep)):
        for between in ("", _PROJECTS.get(name, ""), f"projects/{_PROJECTS.get(name, '')}"):
            file = Path(root, between, name, "__init__.py")
            if file.is_file():
                return file
    return None


class _ProjectsFinder(MetaPathFinder):
    """Finds projects where the environment variable says, and says so where there is none."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> Any:
        parent, _, name = fullname.rpartition(".")
        if parent != __name__:
            return None
        file = _package(name)
        if file is not None:
            return importlib.util.spec_from_file_location(fullname, file)
        if name not in _PROJECTS:
            return None
        raise ModuleNotFoundError(
            f"Detectron2's project {_PROJECTS[name]} is not part of detectron2-core: set the "
            "environment variable DETECTRON2_PROJECTS to the folder 'projects' of a checkout of "
            "Detectron2, or use upstream Detectron2.",
            name=fullname,
        )


def __getattr__(name: str) -> ModuleType:
    """A project, for ``from detectron2.projects import point_rend``."""
    if name not in _PROJECTS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return importlib.import_module(f"{__name__}.{name}")


sys.meta_path.append(_ProjectsFinder())
_PROJECT_ROOT = Path(__file__).resolve().parents[2] / "projects"
