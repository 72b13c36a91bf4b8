"""From whatever describes a model to a config that is ready to predict with."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from detectron2.config import CfgNode, get_cfg
from detectron2.utils.file_io import PathManager
from projects_ext.config import add_config
from projects_ext.data import count_categories, count_classes
from projects_ext.engine.config_check import check_run
from projects_ext.engine.config_errors import apply_yaml_overrides
from projects_ext.engine.config_files import (
    COCO_FORMAT_PATHS,
    Config,
    change_lazy,
    classes_of_folders,
    key_value_list,
    load_config,
    set_class_count,
)
from projects_ext.engine.key_reads import pause_recording
from projects_ext.engine.standalone import settle_class_counts
from projects_ext.errors import UserError
from projects_ext.zoo import Experiment, config_file, config_names
from projects_ext.zoo.scheme import experiment_of

_FILES = (".py", ".yaml", ".yml")
_DEVICE = {"train.device", "MODEL.DEVICE"}
_WEIGHTS = {"train.init_checkpoint", "MODEL.WEIGHTS"}
RUN_FILE = "config.yaml"
"""The file that a run writes its config to."""


@dataclass(frozen=True)
class Source:
    """A config and where it is from.

    Attributes:
        cfg: with all overrides; the caller's own is not changed.
        name: for messages.
        folder: of the run whose ``config.yaml`` it is.
        experiment: the published one whose config it is.
        given: the keys that the overrides set.
    """

    cfg: Config
    name: str
    folder: Path | None = None
    experiment: Experiment | None = None
    given: frozenset[str] = frozenset()

    def require_effect(self, weights: Any, device: Any) -> None:
        """Refuse overrides that something else decides otherwise.

        Args:
            weights: None: an override may name them.
            device: None: an override may.

        Raises:
            UserError: with the override's key.
        """
        for keys, value, what in ((_WEIGHTS, weights, "weights"), (_DEVICE, device, "device")):
            for key in sorted(self.given & keys):
                if value is not None and str(value) != str(_value(self.cfg, key)):
                    raise UserError(
                        f"{key} has no effect beside the {what} {value}: leave one of them out"
                    )

    @property
    def names_weights(self) -> bool:
        """Whether an override says which weights to take."""
        return bool(self.given & _WEIGHTS)


def find_config(config: Any, opts: Sequence[str]) -> Source:
    """Load a config of any kind; no data are read.

    Args:
        config: the path of a LazyConfig or YAML file, the folder of a run, the name of a config in
            the zoo, or a loaded config; what this function has returned, it returns again.
        opts: overrides as ``train_net.py`` takes them.

    Raises:
        UserError: there is no such config, or it cannot be read or changed so.
    """
    if isinstance(config, Source):
        return config
    if not isinstance(opts, list | tuple) or not all(isinstance(word, str) for word in opts):
        raise UserError(
            f"opts is {opts!r}: give a list of overrides, such as ['model.backbone.freeze_at=0']"
        )
    if isinstance(config, DictConfig):
        cfg: Config = change_lazy(deepcopy(config), opts)
        return Source(cfg, "the config", given=given_keys(opts, lazy=True))
    if isinstance(config, CfgNode):
        return Source(_changed(config, opts), "the config", given=given_keys(opts, lazy=False))
    if not isinstance(config, str | Path):
        raise UserError(
            f"a config is a file, the name of one in the zoo or a loaded config, not a "
            f"{type(config).__name__}: give one of these"
        )
    file = _path(str(config))
    cfg = load_config(file, opts, read_data=False)
    path = Path(file)
    given = given_keys(opts, lazy=isinstance(cfg, DictConfig))
    folder = path.parent if path.name == RUN_FILE else None
    return Source(cfg, file, folder, experiment_of(file), given)


def _path(config: str) -> str:
    """The path of a config file, given that, its name in the zoo, or the folder of a run."""
    if (Path(config) / RUN_FILE).is_file():
        return str(Path(config) / RUN_FILE)
    name = config.removeprefix("configs/").removesuffix(".py")
    is_name = not config.endswith(_FILES) or (
        not PathManager.isfile(config) and name in config_names()
    )
    return config_file(config) if is_name else config


def _changed(config: CfgNode, opts: Sequence[str]) -> CfgNode:
    """A copy with overrides, and with this project's keys if it was made without them."""
    with pause_recording(config):
        cfg: CfgNode = config.clone()
    cfg.defrost()
    if "COCO_FORMAT" not in cfg.DATASETS:
        complete = get_cfg()
        add_config(complete)
        complete.set_new_allowed(True)
        complete.merge_from_other_cfg(cfg)
        cfg = complete
    apply_yaml_overrides(cfg, key_value_list(opts))
    cfg.freeze()
    return cfg


def given_keys(opts: Sequence[str], lazy: bool) -> frozenset[str]:
    """The keys that overrides set."""
    if lazy:
        return frozenset(text.partition("=")[0].lstrip("+") for text in opts)
    return frozenset(key_value_list(opts)[::2])


def _value(cfg: Config, key: str) -> Any:
    if isinstance(cfg, DictConfig):
        return OmegaConf.select(cfg, key)
    section, name = key.split(".")
    return cfg[section][name]


def device_for(source: Source, device: str | torch.device | None) -> str:
    """Where the model goes: what is asked for, or the GPU if there is one."""
    if device is not None:
        return str(device)
    for key in source.given & _DEVICE:
        return str(_value(source.cfg, key))
    return "cuda" if torch.cuda.is_available() else "cpu"


def on_device(cfg: Config, device: str) -> Config:
    """A copy of a config for prediction on a device, without what is for training alone.

    Raises:
        UserError: the config lacks a section, or a value in it cannot be.
    """
    check_run(cfg)
    if isinstance(cfg, DictConfig):
        cfg = deepcopy(cfg)
        cfg.train.device = device
        if cfg.train.get("amp"):
            cfg.train.amp.enabled = False
        return cfg
    with pause_recording(cfg):
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED = device, False
        cfg.freeze()
    return cfg


def with_class_count(cfg: Config, count: int) -> Config:
    """A copy of a config whose model counts its classes in data, with their number instead.

    Args:
        cfg: see :func:`counts_classes_in_data`.
        count: 0: it is counted; the data have to be there.

    Raises:
        UserError: they are not.
    """
    if isinstance(cfg, DictConfig):
        cfg = deepcopy(cfg)
        settle_class_counts(cfg, count)
        return cfg
    with pause_recording(cfg):
        node: CfgNode = cfg.clone()
        node.defrost()
        folders, paths = node.DATASETS.LABEL_FOLDERS, node.DATASETS.COCO_FORMAT
        of_maps = any(folders.values())
        if not count:
            count = (
                count_classes(classes_of_folders(folders))
                if of_maps
                else count_categories(paths.TRAIN_JSON)
            )
        set_class_count(node, count, of_maps)
        node.freeze()
    return node


def counts_classes_in_data(cfg: Config) -> bool:
    """Whether the class count comes from files of the data, unless the classes are known."""
    if isinstance(cfg, DictConfig):
        return bool(settle_class_counts(deepcopy(cfg), 1))
    with pause_recording(cfg):
        data = cfg.DATASETS
        return any(data.LABEL_FOLDERS.values()) or any(
            data.COCO_FORMAT[x] for x in COCO_FORMAT_PATHS
        )
