"""Files in COCO format, taken through a run's steps without its model: fast enough for many files.

The steps are those of the config file itself: both data sets are registered, the training images
are mapped, the test images are mapped, and the config's evaluator compares given answers.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BitMasks, Boxes, Instances
from projects_ext.data import dataset_errors
from projects_ext.engine import load_config
from projects_ext.engine.config_errors import apply_lazy_overrides

ROOT = Path(__file__).parents[1]
CONFIG = str(ROOT / "configs" / "quickstart" / "mask_rcnn_coco_format.py")

# Images keep their size, so that boxes and masks can be compared with those of the file.
PLAIN = [
    "dataloader.train.total_batch_size=1",
    "dataloader.train.num_workers=0",
    "dataloader.train.mapper.augmentations=[]",
    "dataloader.test.num_workers=0",
    "dataloader.test.mapper.augmentations=[]",
]


@dataclass(frozen=True)
class Found:
    """An object as the model would be trained on it, or as it would answer.

    Attributes:
        name: of its class.
        box: XYXY in pixels.
        mask: (H, W) bool; None where boxes alone are trained.
        score: of an answer.
    """

    name: str
    box: tuple[float, ...]
    mask: np.ndarray | None = None
    score: float = 1.0

    def rounded(self) -> tuple[Any, ...]:
        """Equal for equal objects."""
        mask = b"" if self.mask is None else np.packbits(self.mask).tobytes()
        return self.name, tuple(round(x, 3) for x in self.box), mask


Images = dict[str, list[Found]]
"""The objects of each image, by the last part of its file's name."""


@lru_cache(maxsize=1)
def _parent() -> DictConfig:
    cfg = load_config(CONFIG, [])
    assert isinstance(cfg, DictConfig)
    return cfg


def config(
    train: tuple[str, str], val: tuple[str, str], overrides: Sequence[str] = ()
) -> DictConfig:
    """The quickstart's config for two pairs of json file and image folder."""
    paths = [
        f"data.{part}_{what}={path}"
        for part, pair in (("train", train), ("val", val))
        for what, path in zip(("json", "images"), pair, strict=True)
    ]
    cfg = apply_lazy_overrides(deepcopy(_parent()), [*paths, *PLAIN, *overrides])
    for used in (cfg.dataloader, cfg.model.roi_heads.num_classes):
        OmegaConf.resolve(used)  # once: a trial instantiates the same parts again and again
    return cfg


def register(cfg: DictConfig) -> tuple[str, str]:
    """What a run does before it builds anything: the names of training and test set.

    Raises:
        UserError: one of the files is refused.
    """
    instantiate(cfg.model.roi_heads.num_classes)
    train = instantiate(cfg.dataloader.train.dataset.names)
    return train, instantiate(cfg.dataloader.test.dataset.names)


def forget(names: Sequence[str]) -> None:
    """Take data sets out of the catalogs."""
    for catalog in (DatasetCatalog, MetadataCatalog):
        for name in names:
            with suppress(KeyError):
                catalog.remove(name)


def training_images(cfg: DictConfig) -> Images:
    """Every training image once, mapped as for the model."""
    train, _ = register(cfg)
    names = MetadataCatalog.get(train).thing_classes
    with dataset_errors():
        loader = instantiate(cfg.dataloader.train)
    found: Images = {}
    for _, (mapped,) in zip(range(len(loader.dataset)), loader, strict=False):
        found[Path(mapped["file_name"]).name] = _objects(mapped["instances"], names)
    return found


def _objects(instances: Instances, names: Sequence[str]) -> list[Found]:
    masks: Any = [None] * len(instances)
    if instances.has("gt_masks"):
        masks = instances.gt_masks
        if hasattr(masks, "polygons"):
            masks = BitMasks.from_polygon_masks(masks, *instances.image_size)
        masks = masks.tensor.numpy()
    boxes, classes = instances.gt_boxes.tensor.tolist(), instances.gt_classes.tolist()
    return [
        Found(names[index], tuple(box), mask)
        for box, index, mask in zip(boxes, classes, masks, strict=True)
    ]


def evaluate(cfg: DictConfig, answers: Images) -> dict[str, float]:
    """The metrics of a model that gives these answers, e.g. ``bbox/AP-cat``.

    A class's index in the answers is its place among the training set's classes.
    """
    train, _ = register(cfg)
    names = list(MetadataCatalog.get(train).thing_classes)
    with dataset_errors():
        loader = instantiate(cfg.dataloader.test)
    # Every image first: one whose size is not the file's stops here, not in the mask library.
    inputs = [mapped for batch in loader for mapped in batch]
    evaluator = instantiate(cfg.dataloader.evaluator[0])
    evaluator.reset()
    for mapped in inputs:
        found = answers.get(Path(mapped["file_name"]).name, [])
        evaluator.process([mapped], [{"instances": _answer(found, names, mapped, cfg)}])
    return {
        f"{task}/{key}": value
        for task, values in evaluator.evaluate().items()
        for key, value in values.items()
    }


def _answer(
    found: list[Found], names: list[str], mapped: dict[str, Any], cfg: DictConfig
) -> Instances:
    size = (mapped["height"], mapped["width"])
    instances = Instances(size)
    boxes = torch.tensor([o.box for o in found], dtype=torch.float32).reshape(-1, 4)
    instances.pred_boxes = Boxes(boxes)
    instances.scores = torch.tensor([o.score for o in found])
    instances.pred_classes = torch.tensor([names.index(o.name) for o in found], dtype=torch.long)
    if cfg.data.masks:
        masks = [np.zeros(size, bool) if o.mask is None else o.mask for o in found]
        instances.pred_masks = torch.from_numpy(np.array(masks, bool).reshape(-1, *size))
    return instances


def shifted(images: Images, name: str, by: int) -> Images:
    """The objects as answers, those of one class moved to the right: AP then differs by class."""

    def move(found: Found) -> Found:
        if found.name != name:
            return found
        x0, y0, x1, y1 = found.box
        mask = None if found.mask is None else np.roll(found.mask, by, axis=1)
        return Found(found.name, (x0 + by, y0, x1 + by, y1), mask, found.score)

    return {file: [move(found) for found in objects] for file, objects in images.items()}


def differences(first: Images, second: Images) -> list[str]:
    """The image files whose objects differ."""
    rounded = [
        {file: sorted(o.rounded() for o in objects) for file, objects in images.items()}
        for images in (first, second)
    ]
    files = sorted(first.keys() | second.keys())
    return [file for file in files if rounded[0].get(file) != rounded[1].get(file)]


def same_metrics(first: dict[str, float], second: dict[str, float]) -> bool:
    """Whether all values agree; NaN agrees with NaN."""
    return first.keys() == second.keys() and all(
        math.isclose(value, second[key], abs_tol=1e-6)
        or (math.isnan(value) and math.isnan(second[key]))
        for key, value in first.items()
    )


@contextmanager
def warnings_said() -> Iterator[list[str]]:
    """Within, the list gets every warning that the program's log gets."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("detectron2.projects_ext")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
