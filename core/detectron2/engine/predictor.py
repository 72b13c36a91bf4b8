"""A model ready for images, from a configuration of either style."""

import copy
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, instantiate
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T
from detectron2.modeling import build_model

_MAPPER = "dataloader.test.mapper"


class DefaultPredictor:
    """A configuration's model with its weights, for one image at a time.

    It takes images in BGR order whatever the model's own is, resizes them as in an evaluation and
    returns predictions in the original image's pixels. For batches, or without resizing, use the
    model itself. Upstream Detectron2's class of this name accepts YAML-style configurations only;
    ``projects_ext.Predictor`` takes a LazyConfig with either.

    Of a YAML-style configuration it loads ``MODEL.WEIGHTS``, and resizes as ``INPUT.*_SIZE_TEST``
    say. Of a LazyConfig it builds ``model`` on ``train.device``, loads ``train.init_checkpoint``,
    and takes augmentations and channel order from ``dataloader.test.mapper``, a ``DatasetMapper``
    or what has its attributes ``augmentations`` and ``image_format``.

    Attributes:
        aug: the augmentation of the images; another one may take its place.
        input_format: "RGB" or "BGR", what the model takes.
        metadata: of the first test data set, if the configuration names one.
    """

    def __init__(self, cfg: CfgNode | DictConfig) -> None:
        """Build the model and load its weights.

        Raises:
            ValueError: if the images' format is neither "RGB" nor "BGR", or a LazyConfig lacks a
                part that is needed.
        """
        self.aug: T.Augmentation
        if isinstance(cfg, CfgNode):
            self.cfg: CfgNode | DictConfig = cfg.clone()  # the model may change it
            self._from_yaml(self.cfg)
        else:
            self.cfg = copy.deepcopy(cfg)
            self._from_lazy(self.cfg)
        self.model.eval()

    def _from_yaml(self, cfg: CfgNode) -> None:
        self.input_format = _known_format("INPUT.FORMAT", cfg.INPUT.FORMAT)
        if len(cfg.DATASETS.TEST):
            self.metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])
        shortest = cfg.INPUT.MIN_SIZE_TEST
        self.aug = T.ResizeShortestEdge([shortest, shortest], cfg.INPUT.MAX_SIZE_TEST)
        self._device: str = cfg.MODEL.DEVICE
        self.model = build_model(cfg)
        DetectionCheckpointer(self.model).load(cfg.MODEL.WEIGHTS)

    def _from_lazy(self, cfg: DictConfig) -> None:
        for key in ("model", _MAPPER, "train.init_checkpoint"):
            if OmegaConf.select(cfg, key) is None:
                raise ValueError(
                    f"DefaultPredictor needs {key}, which the LazyConfig lacks: add it."
                )
        mapper = instantiate(OmegaConf.select(cfg, _MAPPER))
        if not (hasattr(mapper, "augmentations") and hasattr(mapper, "image_format")):
            raise ValueError(
                f"{_MAPPER} is a {type(mapper).__name__} without augmentations and image_format: "
                "use a DatasetMapper, or the model itself."
            )
        self.input_format = _known_format(f"{_MAPPER}.image_format", mapper.image_format)
        self.aug = mapper.augmentations
        names = OmegaConf.select(cfg, "dataloader.test.dataset.names")
        if isinstance(names, str) and names:
            self.metadata = MetadataCatalog.get(names)
        self._device = OmegaConf.select(cfg, "train.device") or "cpu"
        self.model = instantiate(cfg.model).to(self._device)
        DetectionCheckpointer(self.model).load(cfg.train.init_checkpoint)

    @torch.no_grad()
    def __call__(self, original_image: np.ndarray) -> dict[str, Any]:
        """The model's output for an image of shape (height, width, 3), BGR, values 0 to 255.

        Returns:
            e.g. ``{"instances": Instances}``.

        Raises:
            ValueError: if the array is not such an image.
        """
        shape = np.shape(original_image)
        if len(shape) != 3 or shape[2] != 3:
            raise ValueError(
                f"DefaultPredictor takes images (height, width, 3), got shape {shape}."
            )
        kind = np.asarray(original_image).dtype
        if kind != np.uint8 and not np.issubdtype(kind, np.floating):
            raise ValueError(
                "DefaultPredictor takes values of 0 to 255 as uint8 or floating point, got "
                f"{kind}: scale the image."
            )
        image = original_image[:, :, ::-1] if self.input_format == "RGB" else original_image
        given = T.AugInput(image)
        self.aug(given)
        pixels = torch.as_tensor(given.image.astype("float32").transpose(2, 0, 1))
        sample = {"image": pixels.to(self._device), "height": shape[0], "width": shape[1]}
        predictions: dict[str, Any] = self.model([sample])[0]
        return predictions


def _known_format(key: str, value: Any) -> str:
    """The format of the images, if a BGR image can be brought into it."""
    if value not in ("RGB", "BGR"):
        raise ValueError(f"{key} is {value!r}; it is 'RGB' or 'BGR'.")
    return str(value)
