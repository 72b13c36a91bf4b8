"""Two evaluations on the same ground truth: what differs, and whether chance explains it."""

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import hotcoco
import numpy as np
from tqdm import tqdm

from projects_ext.errors import UserError

from .evaluation import Evaluation, Metrics, evaluate, metrics
from .results import Results
from .run import parsed_config

SAMPLES, SAMPLES_OF_MANY, MANY_IMAGES = 1000, 300, 1500
"""How often images are drawn anew; less often from many images, of which each draw takes longer."""
CONFIDENCE = 0.95
_HOTCOCO = {"AR": "AR100"}
"""Metrics that hotcoco calls otherwise."""


@dataclass(frozen=True)
class Difference:
    """One metric of two runs, in per cent.

    Attributes:
        name: of the metric or the class.
        first, second: of each run; NaN without objects.
        low, high: the ends of the 95 % interval of the difference; NaN where there is none.
    """

    name: str
    first: float
    second: float
    low: float
    high: float

    @property
    def change(self) -> float:
        """How much higher the second one is."""
        return self.second - self.first

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out zero: chance hardly explains the difference."""
        return self.low > 0 or self.high < 0


def require_same_truth(first: Results, second: Results) -> None:
    """Refuse to compare figures that mean different things.

    Raises:
        UserError: other images, classes or objects.
    """
    names = ([image.name for image in one.images] for one in (first, second))
    if sorted(next(names)) != sorted(next(names)):
        what = "images"
    elif first.classes != second.classes:
        what = "classes"
    elif _objects(first) != _objects(second):
        what = "objects"
    else:
        return
    raise UserError(
        f"the ground truths {first.truth_file} and {second.truth_file} have different {what}: "
        "evaluate both runs on the same data, or name one ground truth for both with --truth"
    )


def _objects(results: Results) -> list[tuple[Any, ...]]:
    return [
        (results.images[one["image_id"] - 1].name, one["category_id"], one["bbox"], one["iscrowd"])
        for one in results.objects
    ]


def metric_differences(first: Evaluation, second: Evaluation) -> list[Difference]:
    """Of COCO's metrics, with intervals from drawing images with replacement (bootstrap)."""
    a, b = metrics(first), metrics(second)
    intervals = _intervals(first, second)
    found = []
    for name in (one.name for one in fields(Metrics)):
        values = getattr(a, name), getattr(b, name)
        known = all(map(math.isfinite, values))
        ends = _ends(intervals if known else {}, _HOTCOCO.get(name, name))
        found.append(Difference(name, *values, *ends))
    return found


def class_differences(first: Evaluation, second: Evaluation) -> list[Difference]:
    """Of the AP of each class."""
    classes = first.results.classes
    found = []
    for place in tqdm(range(len(classes)), desc="classes", unit="class", delay=2, leave=False):
        a, b = metrics(first, place).AP, metrics(second, place).AP
        ends = (float("nan"), float("nan"))
        if a == a and b == b:
            pair = (evaluate(one.results, one.task, [place + 1]) for one in (first, second))
            ends = _ends(_intervals(*pair), "AP")
        found.append(Difference(classes[place], a, b, *ends))
    return found


def _intervals(first: Evaluation, second: Evaluation) -> Mapping[str, Any]:
    many = len(first.results.images) > MANY_IMAGES
    samples = SAMPLES_OF_MANY if many else SAMPLES
    pair = (first.evaluator, second.evaluator)
    if many and sys.stderr.isatty():
        start = time.monotonic()
        hotcoco.compare(*pair, n_bootstrap=5)
        seconds = (time.monotonic() - start) * samples / 5
        if seconds > 5:
            print(f"comparing {samples} samples of the images: {seconds:.0f} s", file=sys.stderr)
    found: Any = hotcoco.compare(*pair, n_bootstrap=samples, confidence=CONFIDENCE)
    return found["ci"] or {}


def _ends(intervals: Mapping[str, Any], name: str) -> tuple[float, float]:
    ends = intervals.get(name)
    if not ends:
        return float("nan"), float("nan")
    return 100 * ends["lower"], 100 * ends["upper"]


def changed_keys(first: str, second: str) -> list[tuple[str, str, str]]:
    """The keys in which two configs differ, with both values; "" for a key that one has not.

    Args:
        first, second: the texts of two ``config.yaml``.
    """
    a, b = (dict(_flat(text)) for text in (first, second))
    return [
        (key, a.get(key, ""), b.get(key, ""))
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    ]


def _flat(text: str) -> list[tuple[str, str]]:
    def walk(value: Any, path: str) -> list[tuple[str, str]]:
        if isinstance(value, dict) and value:
            return [
                pair
                for key, inner in value.items()
                for pair in walk(inner, f"{path}.{key}" if path else f"{key}")
            ]
        return [(path, str(value))]

    return walk(parsed_config(text), "")


def better_and_worse(
    first: np.ndarray, second: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of images with fewer errors in the second run, and of those with more.

    Args:
        first, second: (N,) errors of each image.
        most: as many of each at most, those with the largest difference first.
    """
    change = second - first
    order = np.argsort(change, kind="stable")
    worse = order[::-1]
    return order[change[order] < 0][:most], worse[change[worse] > 0][:most]
