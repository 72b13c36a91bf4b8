"""What a report needs to know of an evaluation of label maps: counts, images, the worst of them.

Files in the output folder of a run: ``sem_seg_report.json`` and, for the worst images, the
predicted labels as ``sem_seg_worst/NNN.png``.
"""

import heapq
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detectron2.utils import comm

FILE, FOLDER = "sem_seg_report.json", "sem_seg_worst"
MOST = 48
"""As many of the worst images are kept with their predictions."""


@dataclass(order=True)
class _Kept:
    """A prediction as PNG; the worst compares as the largest."""

    sort_key: tuple[float, str]
    png: bytes = field(compare=False)


class SegmentationRecords:
    """Collects, image by image; memory is that of one PNG for each of the worst images.

    Args:
        classes: names of the K classes.
        colours: (K, 3) uint8.
        most: as many of the worst images are kept.
    """

    def __init__(self, classes: Sequence[str], colours: np.ndarray, most: int = MOST) -> None:
        self._classes, self._colours, self._most = list(classes), colours, most
        side = len(self._classes) + 1
        self._matrix = np.zeros((side, side), dtype=np.int64)
        self._images: list[dict[str, Any]] = []
        self._worst: list[_Kept] = []

    def add(self, image: str, label_file: str, prediction: np.ndarray, matrix: np.ndarray) -> None:
        """Add an image.

        Args:
            image, label_file: paths of the image and of its ground truth.
            prediction: (H, W) labels.
            matrix: (K + 1, K + 1) pixels by (prediction, truth); the last of both is ignored.
        """
        self._matrix += matrix
        counted = matrix[:-1, :-1]
        score, pixels = mean_iou(matrix), int(counted.sum())
        entry = {"file_name": image, "label_file": label_file, "pixels": pixels}
        entry |= {"wrong": pixels - int(np.trace(counted)), "mean_iou": score}
        self._images.append(entry)
        if score is None or not self._most:
            return
        key = (-score, image)
        if len(self._worst) < self._most:
            heapq.heappush(self._worst, _Kept(key, _png(prediction)))
        elif key > self._worst[0].sort_key:
            heapq.heapreplace(self._worst, _Kept(key, _png(prediction)))

    def write(self, folder: str | Path, dataset_name: str) -> None:
        """Write what all processes have collected; each has to call it.

        Args:
            folder: of the run.
            dataset_name: of the data set.
        """
        parts = comm.gather((self._matrix, self._images, self._worst))
        if not comm.is_main_process():
            return
        matrices, images, kept = zip(*parts, strict=True)
        total = np.sum(matrices, axis=0)
        # An image that was evaluated twice to fill the last batch counts once here.
        entries = {entry["file_name"]: dict(entry) for part in images for entry in part}
        worst = {one.sort_key[1]: one for part in kept for one in part}
        chosen = sorted(worst.values(), reverse=True)[: self._most]
        target = Path(folder) / FOLDER
        target.mkdir(parents=True, exist_ok=True)
        for path in target.glob("[0-9]*.png"):
            path.unlink()
        for place, one in enumerate(chosen, start=1):
            name = f"{place:03d}.png"
            (target / name).write_bytes(one.png)
            entries[one.sort_key[1]]["prediction"] = f"{FOLDER}/{name}"
        content = {
            "dataset": dataset_name,
            "classes": self._classes,
            "colours": self._colours.tolist(),
            # Rows: ground truth; columns: prediction; pixels that are ignored do not count.
            "confusion": total[:-1, :-1].T.tolist(),
            "images": sorted(entries.values(), key=lambda entry: entry["file_name"]),
        }
        (Path(folder) / FILE).write_text(json.dumps(content), encoding="utf-8")


def mean_iou(matrix: np.ndarray) -> float | None:
    """Mean IoU in per cent over the classes that the ground truth has.

    Args:
        matrix: (K + 1, K + 1) pixels by (prediction, truth); the last of both is ignored.

    Returns:
        None where everything is ignored.
    """
    counted = matrix[:-1, :-1].astype(np.float64)
    agreeing, in_truth = counted.diagonal(), counted.sum(axis=0)
    present = in_truth > 0
    if not present.any():
        return None
    union = in_truth + counted.sum(axis=1) - agreeing
    return float(100 * (agreeing[present] / union[present]).mean())


def _png(labels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(labels.astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
