"""A model ready for images, from a YAML-style configuration."""

from typing import Any

import numpy as np
import torch

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T
from detectron2.modeling import build_model


class DefaultPredictor:
    """A configuration's model with its weights, for one image at a time.

    It loads ``MODEL.WEIGHTS``, takes images in BGR order whatever ``INPUT.FORMAT`` is, resizes them
    as ``INPUT.*_SIZE_TEST`` say and returns predictions in the original image's pixels. For
    batches, or without resizing, use the model itself.

    Attributes:
        metadata: of the first data set in ``DATASETS.TEST``, if there is one.
    """

    def __init__(self, cfg: CfgNode) -> None:
        if cfg.INPUT.FORMAT not in ("RGB", "BGR"):
            raise ValueError(f"INPUT.FORMAT is {cfg.INPUT.FORMAT!r}; it is 'RGB' or 'BGR'.")
        self.cfg = cfg.clone()  # the model may change it
        self.input_format: str = cfg.INPUT.FORMAT
        if len(cfg.DATASETS.TEST):
            self.metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])
        shortest = cfg.INPUT.MIN_SIZE_TEST
        self.aug = T.ResizeShortestEdge([shortest, shortest], cfg.INPUT.MAX_SIZE_TEST)
        self.model = build_model(self.cfg).eval()
        DetectionCheckpointer(self.model).load(cfg.MODEL.WEIGHTS)

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
        resized = self.aug.get_transform(image).apply_image(image)
        pixels = torch.as_tensor(resized.astype("float32").transpose(2, 0, 1))
        sample = {"image": pixels.to(self.cfg.MODEL.DEVICE), "height": shape[0], "width": shape[1]}
        predictions: dict[str, Any] = self.model([sample])[0]
        return predictions
