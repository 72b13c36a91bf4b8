"""What became of every detection and every object at an overlap of 0.5.

Errors are named as in Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection
Errors", ECCV 2020, section 2.2.
"""

from collections import defaultdict
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from pycocotools import mask as mask_util
from tqdm import tqdm

from projects_ext.data.coco.reading import Record

from .evaluation import Evaluation

FOREGROUND, BACKGROUND = 0.5, 0.1
"""TIDE's overlaps: from the first on an object is found, below the second nothing is hit."""


class Kind(IntEnum):
    """What a detection is; all from CLASS on are errors."""

    RIGHT = 0
    IGNORED = 1
    CLASS = 2
    LOCATION = 3
    BOTH = 4
    DUPLICATE = 5
    BACKGROUND = 6
    MISSED = 7


NAMES = {
    Kind.CLASS: "wrong class",
    Kind.LOCATION: "poor location",
    Kind.BOTH: "wrong class and location",
    Kind.DUPLICATE: "duplicate",
    Kind.BACKGROUND: "background",
    Kind.MISSED: "missed",
}
"""The errors; a detection has one of the first five, an object the last."""


@dataclass(frozen=True)
class Outcomes:
    """Arrays over D detections and G objects. Numbers of images, classes and objects are from 0.

    Attributes:
        score: (D,) floats.
        image, label: (D,) of each detection.
        kind: (D,) of :class:`Kind`.
        target: (D,) the object that was found, or that an error has most to do with; or -1.
        overlap: (D,) with that object; 0 where there is none.
        object_image, object_label: (G,).
        crowd: (G,) whether it is a crowd, which need not be found.
        found_score: (G,) of the detection that found it; -inf where none did.
    """

    score: np.ndarray
    image: np.ndarray
    label: np.ndarray
    kind: np.ndarray
    target: np.ndarray
    overlap: np.ndarray
    object_image: np.ndarray
    object_label: np.ndarray
    crowd: np.ndarray
    found_score: np.ndarray

    def wrong(self, threshold: float) -> np.ndarray:
        """Which detections are errors and no less certain than ``threshold``, (D,)."""
        return (self.kind >= Kind.CLASS) & (self.score >= threshold)

    def missed(self, threshold: float) -> np.ndarray:
        """Which objects no detection of at least this score finds, (G,)."""
        return ~self.crowd & (self.found_score < threshold)


def outcomes(evaluation: Evaluation) -> Outcomes:
    """Look at every detection and object of an evaluation."""
    results = evaluation.results
    detections, objects = results.detections, results.objects
    diagnosed = evaluation.evaluator.image_diagnostics(iou_thr=FOREGROUND)
    kind = np.full(len(detections), Kind.IGNORED)
    for identity, status in diagnosed["dt_status"].items():
        # Errors are told apart below.
        kind[identity - 1] = Kind.RIGHT if status == "tp" else Kind.BACKGROUND
    target = np.full(len(detections), -1)
    found_score = np.full(len(objects), -np.inf)
    for identity, matched in diagnosed["dt_match"].items():
        target[identity - 1] = matched - 1
        found_score[matched - 1] = detections[identity - 1]["score"]
    overlap = np.zeros(len(detections))
    label, object_label = _column(detections, "category_id"), _column(objects, "category_id")
    crowd = np.array([bool(one["iscrowd"]) for one in objects], dtype=bool)
    for found, there, overlaps in _overlaps(evaluation, kind, crowd):
        for row, place in zip(overlaps, found, strict=True):
            if kind[place] == Kind.RIGHT:
                overlap[place] = row[there == target[place]][0]
                continue
            same = object_label[there] == label[place]
            kind[place], best = _name_error(row, same)
            if best >= 0:
                target[place], overlap[place] = there[best], row[best]
    return Outcomes(
        np.array([one["score"] for one in detections], dtype=float),
        _column(detections, "image_id"),
        label,
        kind,
        target,
        overlap,
        _column(objects, "image_id"),
        object_label,
        crowd,
        found_score,
    )


def _column(records: tuple[Record, ...], key: str) -> np.ndarray:
    return np.array([one[key] for one in records], dtype=int) - 1


def _name_error(row: np.ndarray, same: np.ndarray) -> tuple[Kind, int]:
    """The error of a detection, and the object it has to do with (or -1).

    Args:
        row: (G,) its overlap with every object of its image.
        same: (G,) whether they are of its class.
    """
    if not len(row):
        return Kind.BACKGROUND, -1
    own, other = np.where(same, row, 0.0), np.where(same, 0.0, row)
    if BACKGROUND <= own.max() <= FOREGROUND:
        return Kind.LOCATION, int(own.argmax())
    if other.max() >= FOREGROUND:
        return Kind.CLASS, int(other.argmax())
    if own.max() >= FOREGROUND:
        return Kind.DUPLICATE, int(own.argmax())
    if row.max() < BACKGROUND:
        return Kind.BACKGROUND, -1
    return Kind.BOTH, int(row.argmax())


def _overlaps(evaluation: Evaluation, kind: np.ndarray, crowd: np.ndarray) -> Any:
    """For every image with detections that count: their places, those of the objects (no crowds),
    and the overlaps, (detections, objects).
    """
    results = evaluation.results
    found, there = defaultdict(list), defaultdict(list)
    for place, one in enumerate(results.detections):
        if kind[place] != Kind.IGNORED:
            found[one["image_id"]].append(place)
    for place, one in enumerate(results.objects):
        if not crowd[place]:
            there[one["image_id"]].append(place)
    for number in tqdm(sorted(found), desc="errors", unit="image", delay=2, leave=False):
        places, objects = found[number], there[number]
        if not objects:
            yield places, np.zeros(0, dtype=int), np.zeros((len(places), 0))
            continue
        image = results.images[number - 1]
        size = (image.height, image.width)
        detected: Any = [shape_of(results.detections[p], evaluation.task, size) for p in places]
        truth: Any = [shape_of(results.objects[p], evaluation.task, size) for p in objects]
        if evaluation.task == "bbox":
            detected, truth = np.array(detected), np.array(truth)
        overlaps = mask_util.iou(detected, truth, [0] * len(objects))
        yield places, np.array(objects), np.asarray(overlaps)


def shape_of(record: Record, task: str, size: tuple[int, int]) -> Any:
    """What is compared: a box (x, y, width, height), or a mask as RLE.

    Args:
        record: a detection or an object.
        task: "bbox" or "segm".
        size: height and width of its image.
    """
    if task == "bbox":
        return record["bbox"]
    segmentation = record.get("segmentation") or {"size": list(size), "counts": [size[0] * size[1]]}
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, *size))
    if isinstance(segmentation["counts"], list):
        return mask_util.frPyObjects(segmentation, *size)
    return segmentation
