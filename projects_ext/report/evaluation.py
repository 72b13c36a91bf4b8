"""COCO's metrics of results, by hotcoco: of all classes, of each class, by object size."""

import contextlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import hotcoco
import numpy as np

from projects_ext.data.coco.reading import Record

from .results import Results

MAX_DETECTIONS = 100
"""As many detections of a class in an image count for COCO; more only where a model keeps more."""
_SHAPE = {"bbox": "bbox", "segm": "segmentation"}
AREAS = (("small", "below 32² pixels"), ("medium", "32² to 96²"), ("large", "above 96²"))
"""COCO's sizes of objects."""


@dataclass(frozen=True)
class Evaluation:
    """Results that have been compared with the ground truth.

    Attributes:
        results: what was compared.
        task: "bbox" or "segm".
        evaluator: hotcoco's, after ``evaluate`` and ``accumulate``.
        precision: (T, R, K, A): at 10 overlaps from 0.5 to 0.95 and 101 recalls, for every class,
            for objects of all sizes, small, medium and large; -1 without objects.
        recall: (T, K, A).
    """

    results: Results
    task: str
    evaluator: Any
    precision: np.ndarray
    recall: np.ndarray


@dataclass(frozen=True)
class Metrics:
    """Figures in per cent, NaN where there is no object to measure on.

    ``AR`` is the mean recall; ``APs``, ``APm`` and ``APl`` are of small to large objects.
    """

    AP: float
    AP50: float
    AP75: float
    APs: float
    APm: float
    APl: float
    AR: float


def evaluate(results: Results, task: str, classes: Sequence[int] | None = None) -> Evaluation:
    """Compare results with their ground truth.

    Args:
        results: of any task that this one is among.
        task: "bbox" or "segm".
        classes: only these, as ``category_id`` numbers.
    """
    counts = Counter((one["image_id"], one["category_id"]) for one in results.detections)
    limit = max(MAX_DETECTIONS, *counts.values()) if counts else MAX_DETECTIONS
    evaluator = make_evaluator(results, task, results.objects, results.detections)
    evaluator.params.maxDets = [1, 10, limit]
    if classes is not None:
        evaluator.params.catIds = list(classes)
    with quiet():
        evaluator.evaluate()
        evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])[..., -1]
    recall = np.asarray(evaluator.eval["recall"])[..., -1]
    return Evaluation(results, task, evaluator, precision, recall)


def make_evaluator(
    results: Results, task: str, objects: Sequence[Record], detections: Sequence[Record]
) -> Any:
    """hotcoco's evaluator of some objects and detections, which keep their ids."""
    shape = _SHAPE[task]
    truth = {
        "images": [
            {"id": number, "width": image.width, "height": image.height}
            for number, image in enumerate(results.images, start=1)
        ],
        # Names that are numbers: hotcoco takes classes with equal names for one.
        "categories": [{"id": n, "name": str(n)} for n in range(1, len(results.classes) + 1)],
        "annotations": [_only(one, shape, "area", "iscrowd", "id") for one in objects],
    }
    with quiet():
        ground_truth = hotcoco.COCO(truth)
        # With a box in it, the box's area would be taken for that of the mask.
        found = ground_truth.load_res([_only(one, shape, "score") for one in detections])
        return hotcoco.COCOeval(ground_truth, found, task)


def _only(record: Record, *keys: str) -> Record:
    return {k: record[k] for k in ("image_id", "category_id", *keys) if k in record}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """hotcoco remarks on settings that differ from COCO's own; here they are asked for."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def metrics(evaluation: Evaluation, place: int | None = None) -> Metrics:
    """The metrics of all classes, or of the one at this place in ``results.classes``."""
    chosen = slice(None) if place is None else slice(place, place + 1)
    precision, recall = evaluation.precision[:, :, chosen], evaluation.recall[:, chosen]
    return Metrics(
        _mean(precision[..., 0]),
        _mean(precision[0, ..., 0]),
        _mean(precision[5, ..., 0]),
        _mean(precision[..., 1]),
        _mean(precision[..., 2]),
        _mean(precision[..., 3]),
        _mean(recall[..., 0]),
    )


def _mean(values: np.ndarray) -> float:
    """In per cent; -1 stands for "no objects" and does not count."""
    valid = values[values > -1]
    return float(valid.mean()) * 100 if valid.size else float("nan")


def object_counts(results: Results) -> np.ndarray:
    """Objects by class and size, (K, 3): small, medium, large; without crowds."""
    counts = np.zeros((len(results.classes), len(AREAS)), dtype=int)
    for one in results.objects:
        if not one["iscrowd"]:
            size = int(np.searchsorted((32**2, 96**2), one["area"]))
            counts[one["category_id"] - 1, size] += 1
    return counts
