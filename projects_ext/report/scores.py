"""What scores mean: precision and recall by threshold, the best one, and how far to trust them."""

from dataclasses import dataclass

import numpy as np

from .evaluation import Evaluation
from .outcomes import Kind, Outcomes


@dataclass(frozen=True)
class Point:
    """Detections of at least one score, in numbers from 0 to 1.

    Attributes:
        threshold: the score.
        precision: the part of them that is right.
        recall: the part of the objects that they find.
        f1: the harmonic mean of both.
    """

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ScoreCurve:
    """Precision, recall and F1 for every threshold that differs from others, rising; (N,) each."""

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray

    @property
    def best(self) -> Point:
        """Where F1 is highest; of equal ones the highest threshold.

        Without detections a threshold of 0.5 with zeros.
        """
        if not len(self.f1):
            return Point(0.5, 0.0, 0.0, 0.0)
        return self._at(len(self.f1) - 1 - int(self.f1[::-1].argmax()))

    def at(self, threshold: float) -> Point:
        """Of the detections with at least this score."""
        place = int(np.searchsorted(self.threshold, threshold))
        return self._at(place) if place < len(self.f1) else Point(threshold, 0.0, 0.0, 0.0)

    def _at(self, place: int) -> Point:
        columns = (self.threshold, self.precision, self.recall, self.f1)
        return Point(*(float(column[place]) for column in columns))


def score_curve(found: Outcomes, label: int | None = None) -> ScoreCurve:
    """The curve of all classes together, or of one (a number from 0)."""
    counted = found.kind != Kind.IGNORED
    objects = ~found.crowd
    if label is not None:
        counted &= found.label == label
        objects = objects & (found.object_label == label)
    order = np.argsort(found.score[counted], kind="stable")
    score = found.score[counted][order]
    right = (found.kind[counted][order] == Kind.RIGHT)[::-1].cumsum()[::-1]
    threshold, first = np.unique(score, return_index=True)
    kept, right = len(score) - first, right[first]
    total = int(objects.sum())
    recall = right / max(total, 1)
    return ScoreCurve(threshold, right / np.maximum(kept, 1), recall, 2 * right / (kept + total))


@dataclass(frozen=True)
class Calibration:
    """How well scores tell how often detections are right.

    Attributes:
        score, accuracy: (B,) means of the detections in each of B equal steps of score; NaN where
            there is none.
        count: (B,).
        error: the mean distance of the two, weighted by count (expected calibration error).
    """

    score: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    error: float


def calibration(evaluation: Evaluation) -> Calibration | None:
    """By hotcoco, in ten steps, at an overlap of 0.5; None if scores are not between 0 and 1."""
    if any(not 0 <= one["score"] <= 1 for one in evaluation.results.detections):
        return None
    measured = evaluation.evaluator.calibration(n_bins=10, iou_threshold=0.5)
    bins = measured["bins"]
    count = np.array([one["count"] for one in bins])
    score = np.array([one["avg_confidence"] for one in bins])
    accuracy = np.array([one["avg_accuracy"] for one in bins])
    empty = count == 0
    score, accuracy = np.where(empty, np.nan, score), np.where(empty, np.nan, accuracy)
    return Calibration(score, accuracy, count, float(measured["ece"]))


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision by recall; NaN without objects.

    Attributes:
        recall: (R,) from 0 to 1.
        by_overlap: name -> (R,), the mean over classes at overlaps 0.5 and 0.75 and over all ten.
        by_class: (R, K) at an overlap of 0.5.
    """

    recall: np.ndarray
    by_overlap: dict[str, np.ndarray]
    by_class: np.ndarray


def precision_recall(evaluation: Evaluation) -> PrecisionRecall:
    """COCO's interpolated curves for objects of all sizes."""
    precision = evaluation.precision[..., 0]  # (T, R, K)
    known = (precision > -1).any(axis=(0, 1))
    mean = precision[..., known].mean(axis=2) if known.any() else precision[..., 0] * np.nan
    by_class = np.where(known, precision[0], np.nan)
    overlaps = {
        "overlap 0.5": mean[0],
        "overlap 0.75": mean[5],
        "mean of 0.5 to 0.95": mean.mean(0),
    }
    return PrecisionRecall(np.linspace(0, 1, precision.shape[1]), overlaps, by_class)
