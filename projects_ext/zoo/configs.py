"""The config files by name, in a checkout or in an installed package."""

import difflib
from collections.abc import Collection
from pathlib import Path

from omegaconf import DictConfig

import projects_ext
from detectron2.config import LazyConfig
from projects_ext.errors import UserError

SHARED = "common"
"""The folder of what configs share, which are no configs themselves."""


def config_folder() -> Path:
    """Where the configs lie: in the installed package, or beside it in a checkout."""
    package = Path(projects_ext.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def config_names() -> list[str]:
    """The name of every config: its path below ``configs/``, without ``.py``."""
    paths = (path.relative_to(config_folder()) for path in config_folder().rglob("*.py"))
    return sorted(path.with_suffix("").as_posix() for path in paths if path.parts[0] != SHARED)


def config_file(name: str) -> str:
    """The path of a config, for ``--config-file``.

    Args:
        name: such as ``groie/mask_rcnn_r50_fpn_groie_1x``, with or without ``.py``; the last part
            is enough where only one config ends so.

    Raises:
        UserError: there is no such config.
    """
    return str(config_folder() / f"{full_name(name, config_names(), 'config')}.py")


def get_config(name: str) -> DictConfig:
    """A config, to change, instantiate or train.

    Args:
        name: as for :func:`config_file`.

    Raises:
        UserError: there is no such config.
    """
    return LazyConfig.load(config_file(name))


def full_name(name: str, names: Collection[str], what: str) -> str:
    """The one of ``names`` that is meant.

    Raises:
        UserError: none or several; ``what`` says of what.
    """
    wanted = name.removeprefix("configs/").removesuffix(".py")
    if wanted in names:
        return wanted
    ends = [known for known in names if known.endswith(f"/{wanted}")]
    if len(ends) == 1:
        return ends[0]
    near = ends or difflib.get_close_matches(wanted, names, n=3)
    hint = "`python -m projects_ext.zoo` lists the published ones"
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    raise UserError(f"there is no {what} '{name}': {hint}")
