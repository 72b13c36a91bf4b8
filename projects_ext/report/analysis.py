"""All that is measured of one task of results, each part when it is first asked for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .errors import Confusion, ErrorCost, confusion, error_costs, errors_by_class, most_confused
from .evaluation import Evaluation, Metrics, evaluate, metrics
from .images import ImageScores, image_scores
from .outcomes import NAMES, Kind, Outcomes, outcomes
from .results import Results
from .scores import Point, ScoreCurve, score_curve


@dataclass(frozen=True)
class Analysis:
    """All that is measured of results, for one task; everything else follows from it.

    Attributes:
        evaluation: COCO's metrics.
        found: what became of each detection and object.
        curve: precision and recall by threshold.
        threshold: where F1 is highest; what is less certain is left out of counts and images.
    """

    evaluation: Evaluation
    found: Outcomes
    curve: ScoreCurve
    threshold: float

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names."""
        return self.evaluation.results.classes

    @cached_property
    def by_class(self) -> list[Metrics]:
        """The metrics of each class."""
        return [metrics(self.evaluation, place) for place in range(len(self.classes))]

    @cached_property
    def points(self) -> list[Point]:
        """Precision and recall of each class at the threshold."""
        curves = (score_curve(self.found, k) for k in range(len(self.classes)))
        return [curve.at(self.threshold) for curve in curves]

    @cached_property
    def errors(self) -> np.ndarray:
        """(K, 8), see :func:`errors_by_class`."""
        return errors_by_class(self.found, self.threshold, len(self.classes))

    @cached_property
    def costs(self) -> list[ErrorCost]:
        """What each kind of error costs, the costliest first."""
        return error_costs(self.evaluation, self.found, self.threshold)

    @cached_property
    def confusion(self) -> np.ndarray:
        """(K + 1, K + 1), see :func:`confusion`."""
        return confusion(self.found, self.threshold, len(self.classes))

    @cached_property
    def confused(self) -> list[Confusion]:
        """The pairs of classes that are confused most, see :func:`most_confused`."""
        labels = self.found.object_label[~self.found.crowd]
        objects = np.bincount(labels, minlength=len(self.classes))
        return most_confused(self.confusion, self.classes, objects)

    @cached_property
    def images(self) -> ImageScores:
        """Right and wrong by image."""
        return image_scores(self.found, self.threshold, len(self.evaluation.results.images))

    @property
    def worst_class(self) -> int | None:
        """The place of the class with the lowest AP; None if that is about the mean."""
        values = np.array([one.AP for one in self.by_class])
        known = values[np.isfinite(values)]
        # Less than what the page shows is no difference.
        differ = len(known) > 0 and known.mean() - known.min() >= 0.05
        return int(np.nanargmin(values)) if differ else None

    def main_error(self, place: int) -> str:
        """The error that a class has most, in words; "" for none."""
        counts = self.errors[place]
        kind = Kind(int(counts.argmax()))
        if not counts[kind]:
            return ""
        text = f"{NAMES[kind]} ({counts[kind]})"
        partner = self._partner(place) if kind == Kind.CLASS else ""
        return f"{text}, mostly with {partner}" if partner else text

    def _partner(self, place: int) -> str:
        """The class with which one is confused most, in either direction."""
        both = self.confusion[place, :-1] + self.confusion[:-1, place]
        both[place] = 0
        return self.classes[int(both.argmax())] if both.any() else ""


def analyse(results: Results, task: str) -> Analysis:
    """Measure results.

    Args:
        results: with this task.
        task: "bbox" or "segm".
    """
    evaluation = evaluate(results, task)
    found = outcomes(evaluation)
    curve = score_curve(found)
    return Analysis(evaluation, found, curve, curve.best.threshold)
