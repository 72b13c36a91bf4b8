"""Config files of both kinds: LazyConfig (``.py``, or YAML as it saves it) and YAML of yacs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from detectron2.config import CfgNode, LazyConfig, get_cfg
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.file_io import PathManager
from projects_ext.config import add_config
from projects_ext.data import (
    count_categories,
    count_classes,
    register_coco_format,
    register_label_folders,
)
from projects_ext.errors import MissingFileError, UserError
from projects_ext.modeling import heads_with_named_poolers

from .config_errors import apply_lazy_overrides, apply_yaml_overrides, config_file_errors
from .devices import names_device, say_cpu_is_used, torch_device
from .key_reads import RecordingCfgNode, changed_keys, record_reads
from .own_data import own_paths, use_own_data
from .unused_keys import refuse_unused
from .yaml_tags import (
    own_keys,
    read_structure,
    refuse_empty_sections,
    refuse_tags,
    tuples_are_values,
)

Config = DictConfig | CfgNode

COCO_FORMAT_PATHS = ("TRAIN_JSON", "TRAIN_IMAGES", "VAL_JSON", "VAL_IMAGES")

LAZY_KEYS = frozenset({"model", "train", "dataloader", "optimizer"})


def load_config(config_file: str, overrides: Sequence[str], *, read_data: bool = True) -> Config:
    """The config file with the command line's changes on top.

    Args:
        config_file: ``.py``: a LazyConfig. ``.yaml``: what LazyConfig.save wrote (the
            ``config.yaml`` of an earlier run), or a YAML config of Detectron2; its content tells.
        overrides: ``key=value`` for a LazyConfig; ``KEY VALUE`` or ``KEY=VALUE`` for YAML.
        read_data: whether the paths of a YAML config's data sets are followed, which gives them
            names and the model its class count; a LazyConfig follows them when it is built.

    Returns:
        a ``DictConfig`` for a LazyConfig, a frozen ``CfgNode`` for YAML.
    """
    lazy = is_lazy(config_file)
    if not config_file.endswith(".py"):
        refuse_tags(config_file, saved_lazy=lazy)
    if lazy:
        return _load_lazy(config_file, overrides)
    return _load_yaml(config_file, overrides, read_data)


def _load_lazy(config_file: str, overrides: Sequence[str]) -> DictConfig:
    with config_file_errors(config_file):
        cfg = LazyConfig.load(config_file)
    paths, overrides = own_paths(overrides)
    if paths.sources:
        cfg = use_own_data(cfg, config_file, paths, overrides)
    return change_lazy(cfg, overrides)


def change_lazy(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A LazyConfig with the command line's changes; keys without an effect are refused."""
    cfg = apply_lazy_overrides(cfg, overrides)
    refuse_unused(cfg, [text.partition("=")[0].lstrip("+") for text in overrides])
    return cfg


def _load_yaml(
    config_file: str, overrides: Sequence[str], read_data: bool = True
) -> RecordingCfgNode:
    """A node that records which keys are read of it; see :mod:`.unused_keys`."""
    cfg = get_cfg()
    add_config(cfg)
    defaults = cfg.clone()
    refuse_empty_sections(config_file, cfg)
    with config_file_errors(config_file, cfg), tuples_are_values():
        cfg.merge_from_file(config_file, allow_unsafe=False)
    pairs = key_value_list(overrides)
    if "data" in pairs[::2]:
        raise UserError(
            f"data= is for LazyConfig files (.py), and {config_file} is a YAML config: give its "
            "data by DATASETS.COCO_FORMAT.TRAIN_JSON and the keys next to it"
        )
    for key in COCO_FORMAT_PATHS:
        if f"DATASETS.COCO_FORMAT.{key}" in pairs[::2]:
            # A list may take the place of the file's path, and a path that of its list.
            cfg.DATASETS.COCO_FORMAT[key] = None
    apply_yaml_overrides(cfg, pairs)
    refuse_unused(cfg, pairs[::2])
    changed = changed_keys(cfg, defaults)
    settled = _settle_data(cfg, pairs[::2]) if read_data else ()
    cfg.MODEL.ROI_HEADS.NAME = heads_with_named_poolers(cfg)
    on_gpu = torch_device(cfg.MODEL.DEVICE).type == "cuda"
    if on_gpu and not torch.cuda.is_available() and not names_device(overrides):
        # Detectron2's default, which here cannot be meant.
        say_cpu_is_used(cfg.MODEL.DEVICE)
        cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    return record_reads(
        cfg,
        changed=[key for key in changed if not key.endswith(settled)],
        command_line=pairs[::2],
        own=own_keys(config_file),
    )


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
    if suffix == ".py":
        return True
    keys = {str(key.value) for key, _ in read_structure(config_file).value}
    return bool(keys & LAZY_KEYS)


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


def _settle_data(cfg: CfgNode, given: Sequence[str]) -> tuple[str, ...]:
    """Let paths stand for data set names and class counts.

    Args:
        cfg: changed in place.
        given: the keys of the command line.

    Returns:
        endings of the keys that are settled by it, if any.

    Raises:
        UserError: the files say something else than a key of the command line.
    """
    paths = cfg.DATASETS.COCO_FORMAT
    paths.update({key: _unquoted_list(paths[key]) for key in COCO_FORMAT_PATHS})
    before = cfg.clone()
    _use_coco_format(cfg)
    _use_label_folders(cfg)
    overruled = [key for key in changed_keys(cfg, before) if key in given]
    if overruled:
        raise UserError(
            f"{overruled[0]} has no effect here, because it comes from the files that "
            "DATASETS.COCO_FORMAT or DATASETS.LABEL_FOLDERS names: leave it out"
        )
    used = tuple(
        f".{section}.{key}"
        for section in ("COCO_FORMAT", "LABEL_FOLDERS")
        if any(before.DATASETS[section].values())
        for key in before.DATASETS[section]
    )
    return (*used, ".NUM_CLASSES") if used else ()


def _use_coco_format(cfg: CfgNode) -> None:
    """Let the paths in DATASETS.COCO_FORMAT stand for data set names and for the class count."""
    paths = cfg.DATASETS.COCO_FORMAT
    if not any(paths[key] for key in COCO_FORMAT_PATHS):
        return
    options = {
        "skip_invalid": paths.SKIP_INVALID,
        "iscrowd_as_objects": paths.ISCROWD_AS_OBJECTS,
        "masks": cfg.MODEL.MASK_ON,
        "masks_required": _masks_required(cfg.MODEL.META_ARCHITECTURE),
    }
    train = register_coco_format(paths.TRAIN_JSON, paths.TRAIN_IMAGES, **options)
    options["train_json"] = paths.TRAIN_JSON
    val = register_coco_format(paths.VAL_JSON, paths.VAL_IMAGES, **options)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (train,), (val,)
    if not cfg.MODEL.MASK_ON and cfg.TEST.BEST_METRIC.startswith("segm/"):
        # Boxes only: there is no such metric.
        cfg.TEST.BEST_METRIC = cfg.TEST.BEST_METRIC.replace("segm/", "bbox/", 1)
    set_class_count(cfg, count_categories(paths.TRAIN_JSON), of_maps=False)


def set_class_count(cfg: CfgNode, count: int, of_maps: bool) -> None:
    """Set the model's class count.

    Args:
        cfg: changed in place.
        count: of the classes.
        of_maps: of the head for label maps, else of all that counts instances.
    """
    if of_maps:
        cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = count
        return
    nodes: dict[str, Any] = dict(cfg.MODEL)
    for name, node in nodes.items():
        # Semantic segmentation counts its classes in another way than instances.
        if isinstance(node, CfgNode) and "NUM_CLASSES" in node and name != "SEM_SEG_HEAD":
            node.NUM_CLASSES = count


def _unquoted_list(value: Any) -> Any:
    """``[a.json,b.json]``, which yacs takes for a text as its entries have no quotes, as a list."""
    listed = isinstance(value, str) and value.startswith("[") and value.endswith("]")
    return [part.strip() for part in value[1:-1].split(",")] if listed else value


def _masks_required(meta_architecture: str) -> bool:
    """Whether a model cannot be trained on boxes alone. Building it refuses a wrong name."""
    known = meta_architecture in META_ARCH_REGISTRY
    return known and getattr(META_ARCH_REGISTRY.get(meta_architecture), "masks_required", False)


def _use_label_folders(cfg: CfgNode) -> None:
    """Let the paths in DATASETS.LABEL_FOLDERS stand for data set names and for the class count."""
    paths = cfg.DATASETS.LABEL_FOLDERS
    if not any(paths.values()):
        return
    classes = classes_of_folders(paths)
    train, val = (
        register_label_folders(paths[f"{part}_IMAGES"], paths[f"{part}_LABELS"], classes)
        for part in ("TRAIN", "VAL")
    )
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (train,), (val,)
    set_class_count(cfg, count_classes(classes), of_maps=True)


def classes_of_folders(paths: CfgNode) -> list[str] | str:
    """The names, or the file of names, under ``DATASETS.LABEL_FOLDERS``."""
    one = len(paths.CLASSES) == 1 and Path(paths.CLASSES[0].partition("#")[0]).suffix
    return paths.CLASSES[0] if one else list(paths.CLASSES) or ""
