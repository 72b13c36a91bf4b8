"""Coloured overlays of the images that a model segments worst and best."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detectron2.data.detection_utils import read_image
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from projects_ext.data.labels import IGNORE_LABEL, read_label_map

from .label_maps import label_map
from .panels import legend_of, overlay, side_by_side
from .semantic import class_colours, class_names, ground_truth_files


@dataclass(order=True)
class Candidate:
    """An image with its score, in per cent, and predicted labels (H, W)."""

    score: float
    file_name: str
    prediction: np.ndarray


class SemanticPictures(DatasetEvaluator):
    """Draw the worst and the best images: the image, ground truth and prediction side by side.

    An image's score is its mean IoU over the classes that its ground truth has. What the ground
    truth ignores is dark. The files are ``pictures/worst_01_<name>.png`` and so on.

    Args:
        dataset_name: registered, with ``sem_seg_file_name`` in its records.
        output_dir: the pictures go to its folder ``pictures``.
        count: how many of each; 0 for none.
        opacity: of the colours over the image, 0 to 1.
    """

    def __init__(
        self, dataset_name: str, output_dir: str, count: int = 4, opacity: float = 0.6
    ) -> None:
        self.folder = Path(output_dir) / "pictures"
        self.count, self.opacity = count, opacity
        self.classes = class_names(dataset_name)
        self.colours = class_colours(dataset_name)
        self.ground_truth = ground_truth_files(dataset_name) if count else {}

    def reset(self) -> None:
        """Forget all images."""
        self._worst: list[Candidate] = []
        self._best: list[Candidate] = []

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        """Keep what may be among the worst or best.

        Args:
            inputs: with ``file_name``.
            outputs: with ``sem_seg``: (classes, H, W) at the size of the image.
        """
        if not self.count:
            return
        for given, output in zip(inputs, outputs, strict=True):
            name = given["file_name"]
            prediction = label_map(output["sem_seg"])
            score = image_score(prediction, read_label_map(self.ground_truth[name]))
            if score is not None:
                found = Candidate(score, name, prediction)
                self._worst = heapq.nsmallest(self.count, [*self._worst, found], key=_rank)
                self._best = heapq.nlargest(self.count, [*self._best, found], key=_rank)

    def evaluate(self) -> dict[str, Any]:
        """Nothing is measured; each process draws those of its images that are among the first."""
        if not self.count:
            return {}
        own = {found.file_name: found for found in (*self._worst, *self._best)}
        known = comm.all_gather([(found.score, found.file_name) for found in own.values()])
        ranked = sorted({pair for part in known for pair in part})
        worst, others = ranked[: self.count], ranked[self.count :]
        if comm.is_main_process():
            self._clear()
        comm.synchronize()
        for word, chosen in (("worst", worst), ("best", others[::-1][: self.count])):
            for place, (_, name) in enumerate(chosen, start=1):
                if name in own:
                    path = self.folder / f"{word}_{place:02d}_{Path(name).stem}.png"
                    self._draw(own[name]).save(path)
        comm.synchronize()
        return {}

    def _clear(self) -> None:
        """Make the folder, and remove the pictures of an earlier evaluation from it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for word in ("worst", "best"):
            for path in self.folder.glob(f"{word}_[0-9][0-9]_*.png"):
                path.unlink()

    def _draw(self, found: Candidate) -> Image.Image:
        image = read_image(found.file_name, format="RGB")
        truth = read_label_map(self.ground_truth[found.file_name])
        title = f"mIoU {found.score:.2f}   {Path(found.file_name).name}"
        parts = [
            (title, image),
            ("ground truth", overlay(image, truth, self.colours, self.opacity)),
            ("prediction", overlay(image, found.prediction, self.colours, self.opacity)),
        ]
        return side_by_side(parts, legend_of([truth, found.prediction], self.classes, self.colours))


def _rank(found: Candidate) -> tuple[float, str]:
    return found.score, found.file_name


def image_score(prediction: np.ndarray, truth: np.ndarray) -> float | None:
    """Mean IoU in per cent over the classes in ``truth`` (H, W); None where all is ignored."""
    kept = truth != IGNORE_LABEL
    predicted, labels = prediction[kept].astype(np.int64), truth[kept].astype(np.int64)
    if not labels.size:
        return None
    agreeing = np.bincount(labels[predicted == labels], minlength=256)
    in_truth = np.bincount(labels, minlength=256)
    union = in_truth + np.bincount(predicted, minlength=256) - agreeing
    present = in_truth > 0
    return float(100 * (agreeing[present] / union[present]).mean())
