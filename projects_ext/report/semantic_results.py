"""What an evaluation of label maps has written, read and checked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from projects_ext.errors import MissingFileError, UserError
from projects_ext.evaluation.segmentation_records import FILE

REMEDY = "evaluate the run again"


@dataclass(frozen=True)
class SegmentedImage:
    """One image.

    Attributes:
        path, label_file: of the image and of its ground truth, as they were at the evaluation.
        pixels, wrong: how many count, and how many of these are wrong.
        mean_iou: in per cent, over the classes that the ground truth has; None: all is ignored.
        prediction: the predicted labels as PNG, of the worst images; None for others.
    """

    path: Path
    label_file: Path
    pixels: int
    wrong: int
    mean_iou: float | None
    prediction: Path | None


@dataclass(frozen=True)
class SegmentationResults:
    """An evaluation. K classes.

    Attributes:
        file: where it was read from.
        dataset: name of the data set.
        classes: names.
        colours: (K, 3) uint8.
        confusion: (K, K) pixels; rows: ground truth, columns: prediction.
        images: in the order of their names.
    """

    file: str
    dataset: str
    classes: tuple[str, ...]
    colours: np.ndarray
    confusion: np.ndarray
    images: tuple[SegmentedImage, ...]

    @cached_property
    def present(self) -> np.ndarray:
        """(K,) whether the ground truth has the class."""
        return self.confusion.sum(axis=1) > 0

    @cached_property
    def iou(self) -> np.ndarray:
        """(K,) in per cent; NaN for classes that the ground truth does not have."""
        agreeing = np.diag(self.confusion).astype(float)
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - agreeing
        return self._divided(agreeing, union)

    @cached_property
    def recall(self) -> np.ndarray:
        """(K,) per cent of the pixels of the class that are found; its accuracy."""
        return self._divided(np.diag(self.confusion).astype(float), self.confusion.sum(axis=1))

    @cached_property
    def precision(self) -> np.ndarray:
        """(K,) per cent of the pixels predicted as the class that are right; NaN: none are."""
        predicted = self.confusion.sum(axis=0)
        divided = self._divided(np.diag(self.confusion).astype(float), predicted)
        return np.where(predicted > 0, divided, np.nan)

    def _divided(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        return np.where(self.present, 100 * part / np.maximum(whole, 1), np.nan)

    @property
    def mean_iou(self) -> float:
        """In per cent, over the classes that the ground truth has."""
        return float(self.iou[self.present].mean()) if self.present.any() else float("nan")

    @property
    def accuracy(self) -> float:
        """Per cent of all pixels that are right."""
        total = int(self.confusion.sum())
        return float(100 * np.trace(self.confusion) / total) if total else float("nan")


def segmentation_file(folder: str | Path) -> Path | None:
    """The file of a run's evaluation of label maps; None if it has none."""
    path = Path(folder) / FILE
    return path if path.is_file() else None


def read_segmentation(path: str | Path) -> SegmentationResults:
    """Read what :class:`~projects_ext.evaluation.segmentation_records.SegmentationRecords` wrote.

    Raises:
        MissingFileError: there is no such file.
        UserError: it is not of this form.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path} is no file: correct the path")
    try:
        content = json.loads(path.read_bytes())
        return _results(path, content)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{path} is not what an evaluation of label maps writes ({reason}): {REMEDY}"
        ) from error


def _results(path: Path, content: Mapping[str, Any]) -> SegmentationResults:
    classes = tuple(map(str, content["classes"]))
    count = len(classes)
    confusion = np.array(content["confusion"], dtype=np.int64)
    colours = np.array(content["colours"], dtype=np.uint8)
    if confusion.shape != (count, count) or (confusion < 0).any():
        raise ValueError(f"its confusion is not that of {count} classes")
    if colours.shape != (count, 3):
        raise ValueError(f"its colours are not those of {count} classes")
    return SegmentationResults(
        str(path),
        str(content["dataset"]),
        classes,
        colours,
        confusion,
        tuple(_image(path.parent, entry) for entry in content["images"]),
    )


def _image(folder: Path, entry: Mapping[str, Any]) -> SegmentedImage:
    prediction = entry.get("prediction")
    score = entry["mean_iou"]
    return SegmentedImage(
        Path(str(entry["file_name"])),
        Path(str(entry["label_file"])),
        int(entry["pixels"]),
        int(entry["wrong"]),
        None if score is None else float(score),
        None if prediction is None else folder / str(prediction),
    )


def worst_first(images: Sequence[SegmentedImage]) -> list[SegmentedImage]:
    """The images whose predictions were kept, those with the lowest mean IoU first."""
    kept = [one for one in images if one.prediction is not None and one.mean_iou is not None]
    return sorted(kept, key=lambda one: (one.mean_iou, str(one.path)))
