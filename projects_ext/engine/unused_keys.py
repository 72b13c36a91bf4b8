"""What a config sets and nothing reads: refused on the command line, named where a file has it."""

import difflib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from detectron2.config import CfgNode, LazyConfig
from projects_ext.errors import UserError
from projects_ext.zoo.configs import SHARED, config_folder

from .config_errors import nearest_keys
from .key_reads import pause_recording, reads_of

logger = logging.getLogger("detectron2.projects_ext")

SWITCHES = {
    "train.amp.dtype": "train.amp.enabled",
    "train.ema.decay": "train.ema.enabled",
    "train.clip_grad.norm_type": "train.clip_grad.max_norm",
    "train.best_checkpointer.mode": "train.best_checkpointer.val_metric",
    "train.early_stopping.min_delta": "train.early_stopping.patience",
    "SOLVER.EARLY_STOPPING.MIN_DELTA": "SOLVER.EARLY_STOPPING.PATIENCE",
    "train.wandb.name": "train.wandb.project",
    "train.mlflow.name": "train.mlflow.experiment",
    "train.mlflow.tracking_uri": "train.mlflow.experiment",
    "TRACKING.WANDB.NAME": "TRACKING.WANDB.PROJECT",
    "TRACKING.MLFLOW.NAME": "TRACKING.MLFLOW.EXPERIMENT",
    "TRACKING.MLFLOW.TRACKING_URI": "TRACKING.MLFLOW.EXPERIMENT",
    "train.test_augmentation.min_sizes": "train.test_augmentation.enabled",
    "train.test_augmentation.max_size": "train.test_augmentation.enabled",
    "train.test_augmentation.flip": "train.test_augmentation.enabled",
    "SOLVER.AMP.DTYPE": "SOLVER.AMP.ENABLED",
    "SOLVER.EMA.DECAY": "SOLVER.EMA.ENABLED",
    "TEST.BEST_METRIC_MODE": "TEST.BEST_METRIC",
}
"""A key -> the key without which it has no effect."""

READ_BY_DETECTRON2 = ("train.cudnn_benchmark", "train.float32_precision")
"""Keys of ``train`` that ``default_setup`` reads, besides those of ``configs/common/train.py``."""

TOP_LEVEL = ("model", "optimizer", "lr_multiplier", "dataloader", "train")
DATALOADER = ("train", "test", "evaluator")
"""What a run reads of a LazyConfig, and of its ``dataloader``."""

HEADS = {"MODEL.ROI_MASK_HEAD": "MODEL.MASK_ON", "MODEL.ROI_KEYPOINT_HEAD": "MODEL.KEYPOINT_ON"}
"""A section of a YAML config -> the key that switches on what it describes."""

SHOWN = 10


def refuse_unused(cfg: DictConfig | CfgNode, given: Sequence[str]) -> None:
    """Check what can be known before anything is built.

    Args:
        cfg: a config of either kind, with the command line's changes.
        given: the keys that the command line sets.

    Raises:
        UserError: a key of the command line has no effect, because what it belongs to is off or
            because no code reads it.
    """
    for key in given:
        switch = SWITCHES.get(key)
        if switch and not _value(cfg, switch):
            raise UserError(
                f"{key} has no effect while {switch} is {_value(cfg, switch)!r}: set that too, or "
                f"leave {key} out"
            )
    if isinstance(cfg, CfgNode):
        return
    for key in unread_lazy_keys(cfg):
        if any(key == one or key.startswith(f"{one}.") for one in given):
            sentence = _unread_sentence(key)
            raise UserError(f"{sentence}{' Otherwise' if '?' in sentence else ':'} leave it out")


def warn_of_unread_lazy_keys(cfg: DictConfig) -> None:
    """Name the keys that the config file sets and nothing reads."""
    for key in unread_lazy_keys(cfg):
        logger.warning(_unread_sentence(key))
    for key, switch in SWITCHES.items():
        value, default = _value(cfg, key), _value(_shared(), key)
        if value not in (None, default) and not _value(cfg, switch):
            logger.warning(
                f"{key} is {value!r}, which has no effect while {switch} is {_value(cfg, switch)!r}"
            )


@cache
def _shared() -> DictConfig:
    """``configs/common/train.py``."""
    return LazyConfig.load(str(config_folder() / SHARED / "train.py"))


def _unread_sentence(key: str) -> str:
    known = [*known_train_keys(), *(f"dataloader.{name}" for name in DATALOADER)]
    same_part = sorted(one for one in known if one.partition(".")[0] == key.partition(".")[0])
    near = [_meant(key)] if _meant(key) else nearest_keys(key, same_part)
    hint = f": did you mean {' or '.join(near)}?" if near else ""
    return f"{key} is set, but nothing reads it{hint}"


def unread_lazy_keys(cfg: DictConfig) -> list[str]:
    """The keys of a LazyConfig that neither a run nor an interpolation reads.

    These are keys under ``train`` and ``dataloader`` and names of the top level that look like one
    of a run's. Other names of the top level may be there to be imported, and all other keys are
    arguments of what is built from them, where an unknown one is an error.
    """
    content = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(content, dict)
    train, data = content.get("train"), content.get("dataloader")
    found = [key for key in map(str, content) if _meant(key)]
    if isinstance(data, dict) and "_target_" not in data:
        found += [f"dataloader.{key}" for key in data if key not in DATALOADER]
    if isinstance(train, dict):
        known = known_train_keys()
        found += [
            key
            for key in _leaves(train, "train.")
            if not any(key == one or key.startswith(f"{one}.") for one in known)
            # A section that is null is off.
            and not (_at(train, key) is None and any(x.startswith(f"{key}.") for x in known))
        ]
    wanted = interpolated(content)
    return [key for key in found if not any(concerns(name, key) for name in wanted)]


def _meant(key: str) -> str:
    """The part of a run that a name of the top level looks like without being it, if any."""
    near = difflib.get_close_matches(key, TOP_LEVEL, n=1, cutoff=0.8)
    return near[0] if near and key not in TOP_LEVEL and "." not in key else ""


def concerns(name: str, key: str) -> bool:
    """Whether an interpolation of this name, absolute or relative, uses the key or a part of it."""
    return (
        f".{key}".endswith(f".{name}") or key.startswith(f"{name}.") or name.startswith(f"{key}.")
    )


@cache
def known_train_keys() -> frozenset[str]:
    """What a run reads of ``train``: the keys of ``configs/common/train.py``."""
    ours = _leaves(OmegaConf.to_container(_shared().train, resolve=False), "train.")
    return frozenset({*ours, *READ_BY_DETECTRON2, *_PASSED_ON})


_PASSED_ON = ("train.ddp", "train.checkpointer")
"""Sections whose keys are arguments, where an unknown one is an error."""


def _leaves(content: Any, prefix: str) -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def interpolated(content: Any) -> set[str]:
    """The names in all ``${...}`` of a config, relative ones without their dots."""
    if isinstance(content, Mapping):
        return {name for value in content.values() for name in interpolated(value)}
    if isinstance(content, list):
        return {name for value in content for name in interpolated(value)}
    return set(re.findall(r"\$\{\.*([\w.]+)\}", content)) if isinstance(content, str) else set()


def _at(train: Any, key: str) -> Any:
    """A value of ``train``, by its full name."""
    for part in key.split(".")[1:]:
        train = train[part]
    return train


def _value(cfg: Any, key: str) -> Any:
    """A key's value; None where there is no such key."""
    if isinstance(cfg, DictConfig):
        return OmegaConf.select(cfg, key)
    with pause_recording(cfg):
        for part in key.split("."):
            cfg = cfg.get(part) if isinstance(cfg, CfgNode) else None
    return cfg


def require_effect(cfg: CfgNode, sections: Sequence[str]) -> None:
    """Check, after what reads them is built, that all changed keys of a YAML config are read.

    Those of the config file that are not are named in one warning.

    Args:
        cfg: what ``load_config`` returned, or a copy of it.
        sections: the names of the top level to check.

    Raises:
        UserError: a key of the command line has not been read.
    """
    reads = reads_of(cfg)
    unread = [
        key
        for key in sorted({*reads.unread(), *_switched_keys(cfg)} & reads.changed)
        if key.partition(".")[0] in sections and not _waits_in_base(cfg, key)
    ]
    given = [key for key in unread if key in reads.command_line]
    if given:
        them = (
            "they have no effect: leave them out" if given[1:] else "it has no effect: leave it out"
        )
        raise UserError(
            f"nothing reads {', '.join(given)} with this config, so that {them}"
            f"{_switched_off(cfg, given[0])}"
        )
    if unread:
        more = f" and {len(unread) - SHOWN} more" if len(unread) > SHOWN else ""
        logger.warning(
            "These keys are set, but nothing reads them with this config, so that they have no "
            f"effect: {', '.join(unread[:SHOWN])}{more}"
        )


def _switched_keys(cfg: CfgNode) -> list[str]:
    """Keys that are read, but to no effect, because what they belong to is off."""
    return [key for key, switch in SWITCHES.items() if switch.isupper() and not _value(cfg, switch)]


def _waits_in_base(cfg: CfgNode, key: str) -> bool:
    """Whether a base file says what a head would be like that this config has switched off."""
    switch = HEADS.get(".".join(key.split(".")[:2]))
    return bool(switch) and key in reads_of(cfg).inherited and not _value(cfg, str(switch))


def _switched_off(cfg: CfgNode, key: str) -> str:
    """What to switch on for the key, if it is in a section that is off."""
    parts = key.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        switch = ".".join([*parts[:depth], "ENABLED"])
        if switch != key and _value(cfg, switch) is False:
            return f", or add {switch} True"
    return ""
