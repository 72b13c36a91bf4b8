"""Checks of a whole config before anything is built from it.

Which types there must be is read from the defaults: ``configs/common/train.py`` for the ``train``
of a LazyConfig, the annotations of what its other parts describe, and Detectron2's default config
for YAML.
"""

import functools
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from detectron2.config import CfgNode, LazyConfig, get_cfg
from detectron2.modeling import (
    ANCHOR_GENERATOR_REGISTRY,
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    PROPOSAL_GENERATOR_REGISTRY,
    ROI_BOX_HEAD_REGISTRY,
    ROI_HEADS_REGISTRY,
    ROI_MASK_HEAD_REGISTRY,
)
from projects_ext.config import add_config
from projects_ext.errors import UserError
from projects_ext.zoo.configs import SHARED, config_folder

from .config_errors import nearest_names
from .config_files import Config
from .instantiation import check_descriptions
from .key_reads import pause_recording
from .ranges import CAN_BE_NEGATIVE, check_value, check_values, entries
from .value_types import accepts, describe, is_number, kinds
from .yaml_values import check_expected_results, check_proposal_files

# Of `train`, what every config must have, and what may be null: then it is off.
NEEDED = ("output_dir", "init_checkpoint", "max_iter", "eval_period", "log_period", "device")
CAN_BE_NULL = ("init_checkpoint", "checkpointer.max_to_keep", "best_checkpointer.val_metric")
OPTIONAL = (
    "amp",
    "clip_grad",
    "ema",
    "ddp",
    "best_checkpointer",
    "early_stopping",
    "test_augmentation",
    "wandb",
    "mlflow",
)

# What is built from descriptions, the last two only for training.
DATA_SETS = ("dataloader.train.dataset", "dataloader.test.dataset")
PARTS = ("model", "dataloader.train", "dataloader.test", *DATA_SETS, "dataloader.evaluator")
TRAINING_PARTS = ("optimizer", "lr_multiplier")

REGISTRIES = {
    "MODEL.META_ARCHITECTURE": META_ARCH_REGISTRY,
    "MODEL.BACKBONE.NAME": BACKBONE_REGISTRY,
    "MODEL.PROPOSAL_GENERATOR.NAME": PROPOSAL_GENERATOR_REGISTRY,
    "MODEL.ANCHOR_GENERATOR.NAME": ANCHOR_GENERATOR_REGISTRY,
    "MODEL.ROI_HEADS.NAME": ROI_HEADS_REGISTRY,
    "MODEL.ROI_BOX_HEAD.NAME": ROI_BOX_HEAD_REGISTRY,
    "MODEL.ROI_MASK_HEAD.NAME": ROI_MASK_HEAD_REGISTRY,
}


def check_config(cfg: Config, training: bool) -> None:
    """Refuse values that cannot be, with their keys.

    Args:
        cfg: of either kind.
        training: whether optimiser and schedule are needed.

    Raises:
        UserError: with the key, its value and what it can be.
    """
    check_run(cfg)
    if isinstance(cfg, CfgNode):
        with pause_recording(cfg):
            _check_names(cfg)
            check_proposal_files(cfg)
            check_expected_results(cfg.TEST.EXPECTED_RESULTS)
        return
    for key in (*PARTS, *(TRAINING_PARTS if training else ())):
        _check_part(cfg, key)
    _check_image_formats(cfg)
    _check_mappers(cfg)
    check_values(cfg)


def _check_image_formats(cfg: DictConfig) -> None:
    """The model's mean, deviation and weights are for one order of the channels."""
    key = "model.input_format"
    wanted = OmegaConf.select(cfg, key, throw_on_resolution_failure=False)
    for part in ("train", "test"):
        other = f"dataloader.{part}.mapper.image_format"
        read = OmegaConf.select(cfg, other, throw_on_resolution_failure=False)
        if isinstance(wanted, str) and isinstance(read, str) and wanted != read:
            raise UserError(
                f"{key} is {wanted}, but {other} is {read}: set both to the channel order that "
                "model.pixel_mean and the weights are for"
            )


def _check_mappers(cfg: DictConfig) -> None:
    """Detectron2's records only name images: something has to read them."""
    for part in ("train", "test"):
        node = cfg.dataloader[part]
        target = OmegaConf.select(node, "dataset._target_")
        records = str(getattr(target, "__name__", target)).endswith("get_detection_dataset_dicts")
        if records and "mapper" in node and node.mapper is None and not node.get("collate_fn"):
            raise UserError(
                f"dataloader.{part}.mapper is null, and the data set gives names of images, not "
                "images: describe a mapper there, such as detectron2.data.DatasetMapper"
            )


def check_run(cfg: Config) -> None:
    """The part of :func:`check_config` that is about the run itself and needs no imports.

    Raises:
        UserError: with the key, its value and what it can be.
    """
    if isinstance(cfg, CfgNode):
        with pause_recording(cfg):
            _check_like(cfg, _yaml_defaults())
        return
    for key in ("model", "train", "dataloader.train"):
        _section(cfg, key)
    train = cfg.train
    for key in NEEDED:
        if key not in train:
            default = OmegaConf.select(_train_defaults(), key)
            raise UserError(
                f"the config has no train.{key}: add it, e.g. +train.{key}={default or '...'}"
            )
    for key, value in entries(train, "train."):
        _check_train(key.removeprefix("train."), value)
    batch = _section(cfg, "dataloader.train").get("total_batch_size")
    if not accepts(int, batch):
        raise UserError(
            f"dataloader.train.total_batch_size is {batch!r}: it must be a whole number"
        )
    check_values(train, "train.")
    check_value("dataloader.train.total_batch_size", batch)
    if not train.output_dir:
        raise UserError("train.output_dir is empty: name the folder that the run writes into")


def _section(cfg: DictConfig, key: str) -> DictConfig:
    """The mapping under the key.

    Raises:
        UserError: there is none.
    """
    node: Any = cfg
    for part in key.split("."):
        node = node.get(part) if isinstance(node, DictConfig) else None
    if not isinstance(node, DictConfig):
        what = f"the config has no {key}" if node is None else f"{key} is {node!r} and has no keys"
        raise UserError(f"{what}: import one in the config file, as configs/quickstart does")
    return node


@functools.cache
def _train_defaults() -> DictConfig:
    return LazyConfig.load(str(config_folder() / SHARED / "train.py"), "train")


def _check_train(key: str, value: Any) -> None:
    """One value of ``train`` against the default's type; unknown keys are not this one's task."""
    missing = object()
    default = OmegaConf.select(_train_defaults(), key, default=missing)
    if default is missing or (value is None and key in (*CAN_BE_NULL, *OPTIONAL)):
        return
    if isinstance(default, Mapping):
        if not isinstance(value, Mapping):
            raise UserError(f"train.{key} is {value!r}: it is a section with {', '.join(default)}")
        return
    kind = list if isinstance(default, ListConfig) else type(default)
    if not accepts(kind, value):
        raise UserError(
            f"train.{key} is {value!r}: it must be {describe(kind)}, e.g. "
            f"train.{key}={_example(value, default)}"
        )


def _example(value: Any, default: Any) -> str:
    """The value in the right type, if it has one; else the default."""
    if isinstance(default, str):
        return default or "name"
    if isinstance(default, ListConfig):
        return f"[{value}]"
    meant = isinstance(value, float) and value.is_integer() and abs(value) < 1e9
    return str(int(value) if meant else default)


def _check_part(cfg: DictConfig, key: str) -> None:
    """One part that is built from its description, or several in a list."""
    node: Any = OmegaConf.select(cfg, key)
    nodes = list(enumerate(node)) if isinstance(node, (list, ListConfig)) else [("", node)]
    for index, one in nodes:
        name = f"{key}.{index}".rstrip(".")
        if not isinstance(one, Mapping) or "_target_" not in one:
            now = "the config has no" if one is None else "there is no _target_ in"
            raise UserError(
                f"{now} {name}: it describes an object, as LazyCall(CLASS)(…) in the config file "
                f"or +{name}._target_=module.CLASS on the command line"
            )
        check_descriptions(one, name)


@functools.cache
def _yaml_defaults() -> CfgNode:
    cfg = get_cfg()
    add_config(cfg)
    return cfg


def _check_like(cfg: CfgNode, defaults: CfgNode, prefix: str = "") -> None:
    """Every value against the default; keys without a default are those of other projects."""
    for name, default in defaults.items():
        if name not in cfg:
            continue  # a config made without this project's keys
        key, value = f"{prefix}{name}", cfg[name]
        if not isinstance(default, CfgNode):
            _check_yaml_value(key, value, default)
        elif isinstance(value, CfgNode):
            _check_like(value, default, f"{key}.")
        else:
            raise UserError(f"{key} is {value!r}: it is a section with keys of its own")


def _check_yaml_value(key: str, value: Any, default: Any) -> None:
    """What yacs itself lets through: null, lists of anything, numbers out of range."""
    if value is None and isinstance(default, (bool, int, float)):
        raise UserError(f"{key} is null: give it a value, e.g. {key} {default}")
    if key == "OUTPUT_DIR" and not value:
        raise UserError("OUTPUT_DIR is empty: name the folder that the run writes into")
    if kinds(default) and not kinds(value) <= kinds(default):
        raise UserError(f"{key} is {value!r}: it must be like the default {default!r}")
    for each_key, each in [(key, value), *entries(value, f"{key}.")]:
        check_value(each_key, each)
    not_negative = is_number(default) and default >= 0
    if not_negative and value < 0 and not any(fnmatchcase(key, x) for x in CAN_BE_NEGATIVE):
        raise UserError(f"{key} is {value}: it cannot be negative; the default is {default}")


def _check_names(cfg: CfgNode) -> None:
    """Names of components that are not registered; unused keys keep the default."""
    for key, registry in REGISTRIES.items():
        name, default = (_at(node, key) for node in (cfg, _yaml_defaults()))
        known = sorted(known for known, _ in registry)
        # An empty name: there is no such part. PrecomputedProposals: there is no generator.
        if name not in registry and name not in (default, "", "PrecomputedProposals"):
            near = nearest_names(name, known) or known
            raise UserError(
                f"{key} is {name!r}, which is not registered: it can be {', '.join(near)}"
            )


def _at(cfg: CfgNode, key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = node[part]
    return node
