"""The tables of the report of one run."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from markupsafe import Markup

from .analysis import Analysis
from .errors import ErrorCost
from .evaluation import AREAS, Evaluation, Metrics, metrics, object_counts
from .results import TASKS, Results
from .tables import Cell, Column, Table

MOST_CLASSES = 24
"""As many rows the table of confusions has at most; of more classes the most confused ones."""


def metrics_table(measured: Mapping[str, Metrics]) -> Table:
    """COCO's metrics, one row per task."""
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR")
    columns = [Column("Of"), *(Column(name, 1, full=100) for name in names)]
    rows = [
        [TASKS[task], *(getattr(one, name) for name in names)] for task, one in measured.items()
    ]
    return Table("metrics", "COCO metrics in per cent", columns, rows)


def class_table(analysis: Analysis, others: Mapping[str, Evaluation], shown: Set[str]) -> Table:
    """One row per class, the worst first.

    Args:
        analysis: of the task that the page is about.
        others: evaluations of other tasks, by task.
        shown: the classes that there are images of.
    """
    columns = [
        Column("Class"),
        Column("AP", 1, full=100),
        Column("AP50", 1),
        *(Column(f"AP of {TASKS[task]}", 1) for task in others),
        Column("Objects", 0),
        Column("Precision", 0, note="part of the detections that is right, in per cent."),
        Column("Recall", 0, note="part of the objects that is found, in per cent."),
        Column("Most frequent error", note="a wrong class counts for both classes."),
        Column("Images"),
    ]
    counts = object_counts(analysis.evaluation.results).sum(axis=1)
    button = Markup(
        '<button type="button" data-show="{0}" aria-label="Images of {0}">show</button>'
    )
    rows: list[list[Any]] = []
    for place, (name, one, point) in enumerate(
        zip(analysis.classes, analysis.by_class, analysis.points, strict=True)
    ):
        boxes = [metrics(evaluation, place).AP for evaluation in others.values()]
        precision = 100 * point.precision if point.precision or point.recall else None
        recall = 100 * point.recall if counts[place] else None
        rows.append(
            [name, one.AP, one.AP50, *boxes, int(counts[place]), precision, recall,
             analysis.main_error(place), button.format(name) if name in shown else "none"]
        )  # fmt: skip
    rows.sort(key=lambda row: (row[1] != row[1], row[1]))
    return Table("class-table", "By class, the worst first", columns, rows)


def error_table(costs: Sequence[ErrorCost]) -> Table:
    """Kinds of errors, with what they cost and how many there are."""
    columns = [
        Column("Error"),
        Column("Costs", 1, note="points of AP50 that would be gained without them."),
        Column("How many", 0, note="among detections of any score."),
        Column("At threshold", 0, note="if less certain detections are left out."),
    ]
    rows: list[list[Cell]] = [[one.name, one.cost, one.count, one.count_sure] for one in costs]
    return Table("error-table", "Kinds of errors", columns, rows)


def confusion_rows(matrix: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """The table of confusions for the template, of the most confused classes.

    Returns:
        ``columns``: names; ``rows``: (name, [(count, part of the row, tooltip), ...]).
    """
    inner = matrix[:-1, :-1].copy()
    np.fill_diagonal(inner, 0)
    order = np.argsort(-(inner.sum(axis=0) + inner.sum(axis=1)), kind="stable")[:MOST_CLASSES]
    chosen = [*sorted(order.tolist()), len(classes)]
    columns = [*classes, "nothing found"]
    lines = [*classes, "nothing there"]
    totals = np.maximum(matrix.sum(axis=1), 1)
    rows = [
        (
            lines[row],
            [
                (
                    int(matrix[row, k]),
                    float(matrix[row, k] / totals[row]),
                    row == k and row < len(classes),
                )
                for k in chosen
            ],
        )
        for row in chosen
    ]
    return {"columns": [columns[k] for k in chosen], "rows": rows}


def confused_table(analysis: Analysis) -> Table:
    """The pairs of classes that are confused most."""
    columns = [
        Column("Object"),
        Column("Taken for"),
        Column("How often", 0, note="detections of the wrong class at the threshold."),
        Column("Objects", 0, note="how many of the class there are."),
    ]
    rows: list[list[Cell]] = [[x.actual, x.said, x.count, x.total] for x in analysis.confused]
    return Table("confused", "Most confused", columns, rows)


def size_table(measured: Metrics, results: Results) -> Table:
    """AP and number of objects by size."""
    counts = object_counts(results).sum(axis=0)
    columns = [Column("Size"), Column("Area"), Column("AP", 1), Column("Objects", 0)]
    values = [measured.APs, measured.APm, measured.APl]
    rows: list[list[Cell]] = [
        [name, text, value, int(count)]
        for (name, text), value, count in zip(AREAS, values, counts, strict=True)
    ]
    return Table("sizes-table", "By size of the objects", columns, rows)
