"""Which errors there are, what they cost, and which classes are taken for which."""

from dataclasses import dataclass

import numpy as np

from .evaluation import Evaluation
from .outcomes import BACKGROUND, FOREGROUND, NAMES, Kind, Outcomes

_TIDE = {
    Kind.CLASS: "Cls",
    Kind.LOCATION: "Loc",
    Kind.BOTH: "Both",
    Kind.DUPLICATE: "Dupe",
    Kind.BACKGROUND: "Bkg",
    Kind.MISSED: "Miss",
}


@dataclass(frozen=True)
class ErrorCost:
    """One kind of error.

    Attributes:
        kind: which.
        cost: points of AP50 (0 to 100) that would be gained if none of them were made.
        count: how many there are, among detections of any score.
        count_sure: how many among those of at least the chosen score.
    """

    kind: Kind
    cost: float
    count: int
    count_sure: int

    @property
    def name(self) -> str:
        """In words."""
        return NAMES[self.kind]


def error_costs(evaluation: Evaluation, found: Outcomes, threshold: float) -> list[ErrorCost]:
    """All kinds, the costliest first (TIDE, by hotcoco)."""
    measured = evaluation.evaluator.tide_errors(pos_thr=FOREGROUND, bg_thr=BACKGROUND)
    sure = _sure_errors(found, threshold)
    costs = [
        ErrorCost(
            kind,
            100 * measured["delta_ap"][name],
            measured["counts"][name],
            int(sure[:, kind].sum()),
        )
        for kind, name in _TIDE.items()
    ]
    return sorted(costs, key=lambda one: -one.cost)


def errors_by_class(found: Outcomes, threshold: float, classes: int) -> np.ndarray:
    """Errors by class and :class:`Kind`, (K, 8), among detections of at least this score.

    A wrong class counts for both: the class that was said and that of the object.
    """
    counts = _sure_errors(found, threshold, classes)
    taken = found.wrong(threshold) & (found.kind == Kind.CLASS)
    np.add.at(counts[:, Kind.CLASS], found.object_label[found.target[taken]], 1)
    return counts


def _sure_errors(found: Outcomes, threshold: float, classes: int = 0) -> np.ndarray:
    """(K, 8); as in TIDE, an object is missed if no error of class or location has hit it."""
    labels = np.concatenate([found.label, found.object_label, [classes - 1, 0]])
    counts = np.zeros((int(labels.max()) + 1, len(Kind)), dtype=int)
    wrong = found.wrong(threshold)
    np.add.at(counts, (found.label[wrong], found.kind[wrong]), 1)
    hit = wrong & np.isin(found.kind, (Kind.CLASS, Kind.LOCATION))
    missed = found.missed(threshold)
    missed[found.target[hit]] = False
    np.add.at(counts[:, Kind.MISSED], found.object_label[missed], 1)
    return counts


def confusion(found: Outcomes, threshold: float, classes: int) -> np.ndarray:
    """How often objects of one class (rows) are found as another (columns), (K + 1, K + 1).

    Counted are detections of at least this score, each as the error that it is: right ones on the
    diagonal, those of a wrong class beside it, also on objects that are found as well, and all
    other errors in the last row, "nothing there". The last column has the objects that are neither
    found nor hit by a wrong class. Whatever hits a crowd does not count.
    """
    matrix = np.zeros((classes + 1, classes + 1), dtype=int)
    sure = found.score >= threshold
    for kind in (Kind.RIGHT, Kind.CLASS):
        chosen = sure & (found.kind == kind)
        np.add.at(matrix, (found.object_label[found.target[chosen]], found.label[chosen]), 1)
    wrong = found.wrong(threshold)
    np.add.at(matrix[classes], found.label[wrong & (found.kind != Kind.CLASS)], 1)
    missed = found.missed(threshold)
    missed[found.target[wrong & (found.kind == Kind.CLASS)]] = False
    np.add.at(matrix[:, classes], found.object_label[missed], 1)
    return matrix


@dataclass(frozen=True)
class Confusion:
    """One class taken for another: ``count`` detections on ``total`` objects of it."""

    actual: str
    said: str
    count: int
    total: int


def most_confused(
    matrix: np.ndarray, classes: tuple[str, ...], objects: np.ndarray, most: int = 10
) -> list[Confusion]:
    """The pairs of different classes with the largest counts, largest first.

    Args:
        matrix: (K + 1, K + 1), see :func:`confusion`.
        classes: their K names.
        objects: (K,) how many objects of each there are.
        most: as many pairs at most.
    """
    inner = matrix[:-1, :-1].copy()
    np.fill_diagonal(inner, 0)
    order = np.argsort(-inner, axis=None, kind="stable")[:most]
    return [
        Confusion(classes[row], classes[column], int(inner[row, column]), int(objects[row]))
        for row, column in zip(*np.unravel_index(order, inner.shape), strict=True)
        if inner[row, column]
    ]
