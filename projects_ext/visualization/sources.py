"""From a config to the records of its data set, and to the samples that training gets."""

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.utils.env import seed_all_rng
from projects_ext.data import dataset_errors
from projects_ext.engine.config_files import Config
from projects_ext.engine.instantiation import build
from projects_ext.engine.key_reads import pause_recording
from projects_ext.engine.main import trainer_for
from projects_ext.errors import UserError

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class DataSet:
    """A data set of a config.

    Attributes:
        name: of it, or of several joined by " + ".
        records: Detectron2's dictionaries, images without objects included.
        metadata: of the first of them.
        classes: their names; empty if they are not known.
        is_semantic: label maps are given, not objects.
    """

    name: str
    records: Records
    metadata: Any
    classes: tuple[str, ...]
    is_semantic: bool


def load_data_set(cfg: Config, split: str) -> DataSet:
    """The records of a config's data set, as it is registered.

    Args:
        cfg: of either kind.
        split: "train" or "val".

    Raises:
        UserError: it cannot be read; there are no images in it.
    """
    # Each trainer class takes its own kind of config.
    trainer: Any = trainer_for(cfg)
    with dataset_errors():
        names = list(trainer.training_sets(cfg) if split == "train" else trainer.test_sets(cfg))
        records = _records(cfg, split, names)
    name = " + ".join(names) or f"the {split} set"
    if not records:
        raise UserError(f"{name} has no images: correct the config's data set")
    metadata = MetadataCatalog.get(names[0] if names else "__nonexist__")
    is_semantic = "annotations" not in records[0] and "sem_seg_file_name" in records[0]
    classes = metadata.get("stuff_classes" if is_semantic else "thing_classes") or ()
    if is_semantic and not classes:
        raise UserError(
            f"the data set {name} has no stuff_classes in its metadata: add the names of its "
            "classes where it is registered"
        )
    return DataSet(name, records, metadata, tuple(map(str, classes)), is_semantic)


def _records(cfg: Config, split: str, names: Sequence[str]) -> Records:
    """All records of the named data sets; without names, what the config describes."""
    if names:
        return list(itertools.chain.from_iterable(DatasetCatalog.get(name) for name in names))
    if isinstance(cfg, CfgNode):
        key = "DATASETS.TRAIN" if split == "train" else "DATASETS.TEST"
        raise UserError(f"{key} names no data set: add one")
    part = "train" if split == "train" else "test"
    key = f"dataloader.{part}.dataset"
    records = build(OmegaConf.select(cfg, key), key, dataset_errors)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UserError(
            f"{key} gives no list of dictionaries, of which statistics could be made: describe a "
            "data set such as detectron2.data.get_detection_dataset_dicts"
        )
    return records


def training_samples(cfg: Config) -> Iterator[dict[str, Any]]:
    """What training gets, image by image and without end, in the order of the run's seed.

    Args:
        cfg: of either kind; not changed.

    Raises:
        UserError: the loader cannot be built, or an image cannot be read.
    """
    # As detectron2.engine.default_setup does it in the run's first process.
    seed = _seed(cfg)
    seed_all_rng(None if seed < 0 else seed)
    cfg = _without_workers(cfg)
    trainer: Any = trainer_for(cfg)
    for batch in trainer.build_train_loader(cfg):
        for sample in batch:
            if not isinstance(sample, dict) or "image" not in sample:
                raise UserError(
                    "dataloader.train gives no dictionaries with an image: only samples as "
                    "Detectron2's DatasetMapper makes them can be drawn; use --source annotation"
                )
            yield sample


def _seed(cfg: Config) -> int:
    """The seed of a run; negative: it has none."""
    if isinstance(cfg, CfgNode):
        return int(cfg.SEED)
    seed = OmegaConf.select(cfg, "train.seed")
    return -1 if seed is None else int(seed)


def _without_workers(cfg: Config) -> Config:
    """A copy that loads in this process: a few images are not worth starting others."""
    if isinstance(cfg, DictConfig):
        cfg = copy.deepcopy(cfg)
        cfg.dataloader.train.num_workers = 0
        return cfg
    with pause_recording(cfg):
        node = cfg.clone()
        node.defrost()
        node.DATALOADER.NUM_WORKERS = 0
        node.freeze()
    return node


def image_format(cfg: Config) -> str:
    """The channels of the samples' images, such as "BGR"; "RGB" if the config does not tell."""
    if isinstance(cfg, CfgNode):
        return str(cfg.INPUT.FORMAT)
    found = OmegaConf.select(cfg, "dataloader.train.mapper.image_format")
    return str(found or "RGB")


def as_rgb(image: Any, channels: str) -> np.ndarray:
    """A sample's image for drawing.

    Args:
        image: (C, H, W) tensor.
        channels: their order, a name that :func:`image_format` gives.

    Returns:
        (H, W, 3) uint8; values beyond 8 bits are scaled to their range.
    """
    pixels = image.permute(1, 2, 0).cpu().numpy()
    if channels == "BGR" and pixels.shape[2] == 3:
        pixels = pixels[:, :, ::-1]
    if channels == "YUV-BT.601":
        return np.clip(convert_image_to_rgb(pixels, channels), 0, 255).astype(np.uint8)
    pixels = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, :1].repeat(3, axis=2)
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
        low, high = float(pixels.min()), float(pixels.max())
        if low < -1 or high > 256:  # of more than 8 bits
            pixels = (pixels - low) * (255 / max(high - low, 1e-9))
        pixels = np.clip(np.rint(pixels), 0, 255)
    return np.ascontiguousarray(pixels, dtype=np.uint8)
