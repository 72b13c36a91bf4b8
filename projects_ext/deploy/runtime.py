"""Runs exported ONNX models with onnxruntime, NumPy and Pillow alone: no torch, no Detectron2."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects_ext.errors import MissingFileError, UserError

from .images import ARRAY_FORMATS, ArrayFormat, ImageLike, rgb_pixels
from .metadata import Metadata
from .paste import paste_in_boxes, paste_maps

INSTALL = "pip install onnxruntime"
EXPORT = "python tools/deploy/export_model.py"


@dataclass(frozen=True)
class Detections:
    """What a detector finds in an image, by falling score.

    Attributes:
        size: (height, width) of the image, in pixels.
        boxes: (N, 4) float32, corners x0, y0, x1, y1 in pixels of the image.
        scores: (N,) float32.
        classes: (N,) int64.
        masks: (N, height, width) bool; None for models without masks.
    """

    size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)


Result = Detections | np.ndarray
"""Detections, or a label map (height, width) int64."""


class ExportedModel:
    """An ONNX file of ``tools/deploy/export_model.py``, ready for images.

    Results are those of :class:`projects_ext.Predictor` with the same weights, up to rounding.

    >>> model = ExportedModel("model.onnx")
    >>> result = model("image.jpg")
    >>> result.boxes, result.scores, result.classes, result.masks

    Attributes:
        metadata: what the file says of itself.
        kind: "instances", or "semantic" for models of label maps.
        class_names: in order.
        max_detections: of an image; 0 for label maps.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        confidence_threshold: float | None = None,
        array_format: ArrayFormat = "BGR",
        threads: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        """
        Args:
            path: of the file.
            confidence_threshold: detections of lower scores are left out; no lower than the score
                threshold that the model was exported with. None: all that the file gives.
            array_format: the order of the channels in arrays, "BGR" or "RGB".
            threads: of the CPU; None: as many as it has cores.
            providers: onnxruntime's execution providers, by preference.

        Raises:
            MissingFileError: there is no such file.
            UserError: it is no exported model, onnxruntime is not there, or an argument has no
                meaning.
        """
        if array_format not in ARRAY_FORMATS:
            raise UserError(f"array_format is {array_format!r}: it is BGR or RGB")
        self.path, self.array_format = str(path), array_format
        self._session = open_session(self.path, threads, providers)
        self.metadata = Metadata.of(self.path, self._session.get_modelmeta().custom_metadata_map)
        self.kind, self.class_names = self.metadata.kind, list(self.metadata.class_names)
        self.max_detections = self.metadata.max_detections
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.confidence_threshold = confidence_threshold

    @property
    def confidence_threshold(self) -> float | None:
        """Detections of lower scores are left out; None: all that the file gives are there."""
        return self._confidence

    @confidence_threshold.setter
    def confidence_threshold(self, threshold: float | None) -> None:
        if threshold is not None:
            self._require_threshold(threshold)
        self._confidence = threshold

    def __call__(self, images: Any) -> Any:
        """Predict on an image or on several.

        Args:
            images: a path, a PIL image, or an array of uint8 (H, W, 3) in ``array_format`` or
                (H, W) in grey; or a list of these, of any sizes.

        Returns:
            :class:`Detections` or an (H, W) label map; for a list, a list of these.

        Raises:
            UserError: something that is no image, or cannot be read.
        """
        if not isinstance(images, list | tuple):
            return self.predict([self.prepare(images)])[0]
        return [self.predict([self.prepare(image)])[0] for image in images]

    def prepare(self, image: ImageLike) -> dict[str, Any]:
        """Decode an image, for :meth:`predict`; may be called from several threads.

        Returns:
            ``image`` (H, W, 3) uint8 RGB, ``height`` and ``width``; ``file_name`` if there is one.
        """
        pixels = rgb_pixels(image, self.array_format)
        given = {"image": pixels, "height": pixels.shape[0], "width": pixels.shape[1]}
        return {"file_name": str(image), **given} if isinstance(image, str | Path) else given

    def predict(self, inputs: Sequence[dict[str, Any]]) -> list[Result]:
        """Run the network on what :meth:`prepare` returned, image by image.

        Returns:
            a result for each.
        """
        return [self._result(self.raw(given["image"]), given["image"].shape) for given in inputs]

    def raw(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """The file's own outputs for an image (H, W, 3) uint8 RGB, by name."""
        found = self._session.run(self._outputs, {self._input: pixels})
        return dict(zip(self._outputs, found, strict=True))

    def _result(self, found: dict[str, np.ndarray], shape: Sequence[int]) -> Result:
        if self.kind == "semantic":
            return found["labels"].astype(np.int64)
        scores = found["scores"][: int(found["count"])]
        # By falling score, so that the first ones stay.
        count = int((scores >= (self.confidence_threshold or 0)).sum())
        size, boxes = (shape[0], shape[1]), found["boxes"][:count]
        return Detections(
            size, boxes, scores[:count], found["classes"][:count], self._masks(found, boxes, size)
        )

    def _masks(
        self, found: dict[str, np.ndarray], boxes: np.ndarray, size: tuple[int, int]
    ) -> np.ndarray | None:
        masks = found.get("masks")
        if masks is None:
            return None
        masks = masks[: len(boxes)]
        if self.metadata.mask_stride:
            seen = (int(found["network_size"][0]), int(found["network_size"][1]))
            return paste_maps(masks, self.metadata.mask_stride, seen, size)
        return paste_in_boxes(masks, boxes, size)

    def _require_threshold(self, threshold: float) -> None:
        """Refuse a confidence threshold that has no meaning or no effect."""
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if not number or not 0 <= threshold <= 1:
            raise UserError(
                f"confidence_threshold is {threshold!r}: give a number from 0 to 1, or None"
            )
        if self.kind == "semantic":
            raise UserError(
                f"confidence_threshold is {threshold}, but a model of label maps gives each pixel "
                "a class and has no scores of objects: leave it out"
            )
        if threshold < self.metadata.score_threshold:
            raise UserError(
                f"confidence_threshold is {threshold}, but {self.path} gives no detections below "
                f"{self.metadata.score_threshold:g}: give at least that, or export the model again "
                "with a lower score threshold of its own"
            )


def open_session(path: str, threads: int | None, providers: Sequence[str]) -> Any:
    """An onnxruntime session on a file.

    Raises:
        MissingFileError, UserError: see :class:`ExportedModel`.
    """
    if not os.path.isfile(path):
        raise MissingFileError(f"there is no model file {path}: correct the path")
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"running {path} needs onnxruntime ({error}): install it with `{INSTALL}`"
        ) from error
    missing = [name for name in providers if name not in onnxruntime.get_available_providers()]
    if missing:
        raise UserError(
            f"this onnxruntime has no {missing[0]}: take one of "
            f"{', '.join(onnxruntime.get_available_providers())}, or install another onnxruntime"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails ends in an exception, not in a log beside it
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # onnxruntime's kinds have no common parent but this
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} is no ONNX model that onnxruntime {onnxruntime.__version__} can read "
            f"({reason[:200]}): export the model again with `{EXPORT} --format onnx`"
        ) from error
