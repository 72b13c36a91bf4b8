"""The config of a run that needs no data: with the number and the names of the classes in it."""

import logging
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from detectron2.config import LazyConfig
from detectron2.utils import comm
from projects_ext.checkpoint.class_order import same_names
from projects_ext.errors import UserError

from .config_files import Config
from .instantiation import build
from .key_reads import pause_recording
from .settings import Settings

logger = logging.getLogger("detectron2.projects_ext")

LAZY_KEY, YAML_KEY = "train.classes", "MODEL.CLASSES"
KEYS = f"{LAZY_KEY} (YAML: {YAML_KEY})"
FILE_NAME = "config.yaml"
_COUNT = "num_classes"

PLUG_INS = ("train.hooks", "train.writers")
"""Lists of what takes part in a training, and in nothing else."""


def settle_class_counts(cfg: DictConfig, count: int = 0) -> list[str]:
    """Put numbers in place of the class counts that a LazyConfig's model describes as calls.

    Args:
        cfg: changed in place.
        count: the number; 0: what the call returns, which reads files of the data.

    Returns:
        the keys of these counts.

    Raises:
        UserError: the data are not there.
    """
    found: list[str] = []
    _settle(cfg.model, "model", count, found)
    return found


def _settle(node: Any, key: str, count: int, found: list[str]) -> None:
    if isinstance(node, ListConfig):
        names: list[Any] = list(range(len(node)))
    else:
        names = list(node) if isinstance(node, DictConfig) else []
    for name in names:
        if OmegaConf.is_interpolation(node, name) or OmegaConf.is_missing(node, name):
            continue  # what it refers to is settled in its own place
        value, full = node[name], f"{key}.{name}"
        if name == _COUNT and isinstance(value, DictConfig) and "_target_" in value:
            node[name] = count or build(value, full)
            found.append(full)
        else:
            _settle(value, full, count, found)


def save_with_classes(
    cfg: Config, settings: Settings, classes: Sequence[str] | None, overrides: Sequence[str]
) -> None:
    """Write ``config.yaml`` anew, with number and names of the classes, on the main process.

    Args:
        cfg: as it runs; it is not changed.
        settings: of it.
        classes: those of the data set; None if nobody names them.
        overrides: the command line's changes.

    Raises:
        UserError: the command line names other classes than the data set has.
    """
    stated = settings.classes
    if classes and stated and not same_names(classes, stated):
        _refuse_or_say(classes, stated, overrides)
    if comm.is_main_process():
        _save(cfg, list(classes or stated), Path(settings.output_dir) / FILE_NAME)


def _refuse_or_say(classes: Sequence[str], stated: Sequence[str], overrides: Sequence[str]) -> None:
    """About names in the config that are not those of the data set."""
    they_are = f"the data set has {_some(classes)}, and {KEYS} names {_some(stated)}"
    if any(text.lstrip("+").startswith((LAZY_KEY, YAML_KEY)) for text in overrides):
        raise UserError(f"{they_are}: leave it out, since a run takes the names from its data")
    logger.info(f"{they_are}: {FILE_NAME} of this run gets those of the data set")


def _some(names: Sequence[str], shown: int = 5) -> str:
    more = f", … ({len(names)} classes)" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}"


def _save(cfg: Config, classes: list[str], path: Path) -> None:
    if isinstance(cfg, DictConfig):
        cfg = deepcopy(cfg)
        settle_class_counts(cfg)
        OmegaConf.update(cfg, LAZY_KEY, classes, force_add=True)
        for key in PLUG_INS:
            _leave_out_unnameable(cfg, key)
        LazyConfig.save(cfg, str(path))
        return
    with pause_recording(cfg):
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.CLASSES = classes
        path.write_text(cfg.dump())


def _leave_out_unnameable(cfg: DictConfig, key: str) -> None:
    """Take out of a list what nobody can find by its name: the saved config could not be read."""
    nodes = OmegaConf.select(cfg, key) or []
    nameable = [node for node in nodes if _can_be_found(node.get("_target_"))]
    if len(nameable) < len(nodes):
        OmegaConf.update(cfg, key, nameable)
        logger.warning(
            f"{key} names classes that the config file itself defines: {FILE_NAME} of this run "
            "leaves them out, since they cannot be imported; a module of their own would be found"
        )


def _can_be_found(target: Any) -> bool:
    if isinstance(target, str):
        return True
    found: Any = sys.modules.get(getattr(target, "__module__", ""))
    for name in getattr(target, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is target
