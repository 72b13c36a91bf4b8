"""Config files of both kinds: LazyConfig (``.py``, or YAML as it saves it) and YAML of yacs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig

from detectron2.config import CfgNode, LazyConfig, get_cfg
from detectron2.utils.file_io import PathManager
from projects_ext.config import add_config
from projects_ext.data import (
    count_categories,
    count_classes,
    register_coco_format,
    register_label_folders,
)
from projects_ext.errors import MissingFileError, UserError

from .config_errors import apply_lazy_overrides, apply_yaml_overrides, config_file_errors

Config = DictConfig | CfgNode

COCO_FORMAT_PATHS = ("TRAIN_JSON", "TRAIN_IMAGES", "VAL_JSON", "VAL_IMAGES")

LAZY_KEYS = frozenset({"model", "train", "dataloader", "optimizer"})


def load_config(config_file: str, overrides: Sequence[str]) -> Config:
    """The config file with the command line's changes on top.

    Args:
        config_file: ``.py``: a LazyConfig. ``.yaml``: what LazyConfig.save wrote (the
            ``config.yaml`` of an earlier run), or a YAML config of Detectron2; its content tells.
        overrides: ``key=value`` for a LazyConfig; ``KEY VALUE`` or ``KEY=VALUE`` for YAML.

    Returns:
        a ``DictConfig`` for a LazyConfig, a frozen ``CfgNode`` for YAML.
    """
    if is_lazy(config_file):
        with config_file_errors(config_file):
            lazy = LazyConfig.load(config_file)
        return apply_lazy_overrides(lazy, overrides)
    cfg = get_cfg()
    add_config(cfg)
    with config_file_errors(config_file, cfg):
        cfg.merge_from_file(config_file)
    pairs = key_value_list(overrides)
    for key in COCO_FORMAT_PATHS:
        if f"DATASETS.COCO_FORMAT.{key}" in pairs[::2]:
            # A list may take the place of the file's path, and a path that of its list.
            cfg.DATASETS.COCO_FORMAT[key] = None
    apply_yaml_overrides(cfg, pairs)
    _use_coco_format(cfg)
    _use_label_folders(cfg)
    if torch.device(cfg.MODEL.DEVICE).type == "cuda" and not torch.cuda.is_available():
        # Detectron2's default, which here cannot be meant.
        cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    return cfg


def is_lazy(config_file: str) -> bool:
    """Whether it is a LazyConfig; of a YAML file the names of its top level decide.

    Raises:
        MissingFileError: no such file.
        UserError: neither ``.py`` nor ``.yaml``; or YAML that cannot be read or has no keys.
    """
    suffix = Path(config_file).suffix
    if suffix not in {".py", ".yaml", ".yml"}:
        raise UserError(
            f"{config_file or 'an empty name'} is no config file: give a .py or .yaml file, e.g. "
            "--config-file configs/quickstart/mask_rcnn_shapes.py"
        )
    if not PathManager.isfile(config_file):
        raise MissingFileError(f"no config file at {config_file}: correct --config-file")
    return suffix == ".py" or bool(_top_level_keys(config_file) & LAZY_KEYS)


def _top_level_keys(yaml_file: str) -> set[str]:
    """Read without running what the tags in a saved LazyConfig stand for."""
    with PathManager.open(yaml_file, "r") as file:
        try:
            node = yaml.compose(file, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{yaml_file} is no valid YAML: {reason}") from error
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{yaml_file} holds no config: it must be a mapping of keys to values")
    return {str(key.value) for key, _ in node.value}


def key_value_list(overrides: Sequence[str]) -> list[str]:
    """The flat list of keys and values that ``CfgNode.merge_from_list`` takes.

    Raises:
        UserError: a key without a value.
    """
    words = list(overrides)
    flat: list[str] = []
    while words:
        key, equals, value = words.pop(0).partition("=")
        if not equals:
            if not words:
                raise UserError(
                    f"the config key {key} has no value: a YAML config takes KEY VALUE pairs"
                )
            value = words.pop(0)
        flat += [key, value]
    return flat


def _use_coco_format(cfg: CfgNode) -> None:
    """Let the paths in DATASETS.COCO_FORMAT stand for data set names and for the class count."""
    paths = cfg.DATASETS.COCO_FORMAT
    if not any(paths[key] for key in COCO_FORMAT_PATHS):
        return
    options = {
        "skip_invalid": paths.SKIP_INVALID,
        "iscrowd_as_objects": paths.ISCROWD_AS_OBJECTS,
        "masks": cfg.MODEL.MASK_ON,
    }
    train = register_coco_format(paths.TRAIN_JSON, paths.TRAIN_IMAGES, **options)
    options["train_json"] = paths.TRAIN_JSON
    val = register_coco_format(paths.VAL_JSON, paths.VAL_IMAGES, **options)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (train,), (val,)
    if not cfg.MODEL.MASK_ON and cfg.TEST.BEST_METRIC.startswith("segm/"):
        # Boxes only: there is no such metric.
        cfg.TEST.BEST_METRIC = cfg.TEST.BEST_METRIC.replace("segm/", "bbox/", 1)
    num_classes = count_categories(paths.TRAIN_JSON)
    nodes: dict[str, Any] = dict(cfg.MODEL)
    for name, node in nodes.items():
        # Semantic segmentation counts its classes in another way than instances.
        if isinstance(node, CfgNode) and "NUM_CLASSES" in node and name != "SEM_SEG_HEAD":
            node.NUM_CLASSES = num_classes


def _use_label_folders(cfg: CfgNode) -> None:
    """Let the paths in DATASETS.LABEL_FOLDERS stand for data set names and for the class count."""
    paths = cfg.DATASETS.LABEL_FOLDERS
    if not any(paths.values()):
        return
    one = len(paths.CLASSES) == 1 and Path(paths.CLASSES[0].partition("#")[0]).suffix
    classes = paths.CLASSES[0] if one else list(paths.CLASSES) or ""
    train, val = (
        register_label_folders(paths[f"{part}_IMAGES"], paths[f"{part}_LABELS"], classes)
        for part in ("TRAIN", "VAL")
    )
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (train,), (val,)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = count_classes(classes)
