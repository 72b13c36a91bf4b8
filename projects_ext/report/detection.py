"""The report of one detection or instance segmentation run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from tqdm import tqdm

from . import plots
from .cards import LAYERS, CardMaker
from .errors import Confusion, ErrorCost, confusion, error_costs, errors_by_class, most_confused
from .evaluation import AREAS, Evaluation, Metrics, evaluate, metrics, object_counts
from .gallery import Gallery, Thumbnails
from .images import ImageScores, fair_choice, image_scores, worst_images
from .outcomes import NAMES, Kind, Outcomes, outcomes
from .page import number, plural, render
from .results import TASKS, Results
from .run import Run
from .scores import Point, ScoreCurve, calibration, precision_recall, score_curve
from .tables import Cell, Column, Table
from .training import changed_keys, run_facts, training_plots

MOST_BARS = 10
"""As many classes are drawn above the tables."""
MOST_CLASSES = 24
"""As many rows the table of confusions has at most; of more classes the most confused ones."""


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
        return confusion(self.evaluation, self.found, self.threshold)

    @cached_property
    def images(self) -> ImageScores:
        """Right and wrong by image."""
        return image_scores(self.found, self.threshold, len(self.evaluation.results.images))

    @property
    def worst_class(self) -> int | None:
        """The place of the class with the lowest AP; None if no two differ."""
        values = np.array([one.AP for one in self.by_class])
        known = values[np.isfinite(values)]
        return int(np.nanargmin(values)) if len(known) and known.min() < known.max() else None

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


def detection_page(
    results: Results, page: Path, *, run: Run | None = None, title: str = "", most: int = 36
) -> str:
    """The whole report.

    Args:
        results: read and checked.
        page: where it will lie; thumbnails may go into a folder beside it.
        run: what produced them, if it is known.
        title: the page's; by default the run's name.
        most: images in each gallery.
    """
    task = results.tasks[-1]
    analysis = analyse(results, task)
    others = {other: evaluate(results, other) for other in results.tasks if other != task}
    measured = {task: metrics(analysis.evaluation)}
    measured |= {other: metrics(evaluation) for other, evaluation in others.items()}
    galleries, unreadable = _galleries(analysis, page, most)
    return render(
        "detection.html.j2",
        title=title or (run.name if run else Path(results.results_file).stem),
        results=results,
        task=TASKS[task],
        analysis=analysis,
        best=analysis.curve.best,
        measured=measured[task],
        findings=_findings(analysis),
        warning=_disagreement(run, measured),
        metrics_table=metrics_table(measured),
        class_plot=_class_plot(analysis),
        class_table=_class_table(analysis, others),
        error_plot=plots.error_bars(analysis.costs),
        error_table=_error_table(analysis.costs),
        confusion=confusion_rows(analysis.confusion, analysis.classes),
        confusion_chosen=min(len(analysis.classes), MOST_CLASSES),
        confused=_confused(analysis),
        score_plots=_score_plots(analysis),
        size_plot=_size_plot(measured[task]),
        size_table=_size_table(measured[task], results),
        galleries=galleries,
        unreadable=sorted(unreadable),
        facts=run_facts(run) if run else [],
        curves=training_plots(run) if run else [],
        changed=changed_keys(run) if run else "",
        config=run.config if run else "",
    )


def _class_plot(analysis: Analysis) -> Markup | None:
    """The AP of the worst classes; None if there is but one."""
    values = np.array([one.AP for one in analysis.by_class])
    rising = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")
    order = [int(k) for k in rising[:MOST_BARS] if np.isfinite(values[k])]
    if len(order) < 2:
        return None
    names = [analysis.classes[k] for k in order]
    return plots.bars(names, values[order].tolist(), "AP", "AP by class, the worst first")


def _findings(analysis: Analysis) -> list[Markup]:
    """What the numbers say, in sentences, the most useful first."""
    said = []
    worst = analysis.worst_class
    if worst is not None:
        name, mean = analysis.classes[worst], metrics(analysis.evaluation).AP
        sentence = Markup(
            "The worst class is <b>{}</b>, with an AP of {} where the mean is {}. "
            '<a href="#images" data-show="{}">See its images</a>.'
        ).format(name, number(analysis.by_class[worst].AP), number(mean), name)
        why = analysis.main_error(worst)
        said.append(sentence + (Markup(" Its most frequent error: {}.").format(why) if why else ""))
    costly = analysis.costs[0]
    if costly.cost > 0:
        said.append(
            Markup("Over all classes, <b>{}</b> costs most: {} points of AP50.").format(
                costly.name, number(costly.cost)
            )
        )
    pairs = most_confused(analysis.confusion, analysis.classes, 1)
    if pairs:
        said.append(_confused_sentence(pairs[0]))
    best = analysis.curve.best
    if best.f1:
        said.append(
            Markup(
                "At a score threshold of <b>{}</b>, {} % of the detections are right and {} % of "
                "the objects are found: the best compromise of both (F1 {})."
            ).format(
                number(best.threshold, 2),
                number(100 * best.precision, 0),
                number(100 * best.recall, 0),
                number(best.f1, 2),
            )
        )
    else:
        some = len(analysis.curve.f1) > 0
        said.append(
            Markup("No detection is right at an overlap of 0.5.")
            if some
            else Markup("There are no detections at all.")
        )
    return said


def _confused_sentence(pair: Confusion) -> Markup:
    return Markup("<b>{}</b> is most often taken for <b>{}</b>: {} of {}.").format(
        pair.actual, pair.said, pair.count, plural(pair.total, "object")
    )


def _disagreement(run: Run | None, measured: dict[str, Metrics]) -> str:
    """A sentence if the run wrote down another AP than its results have."""
    for task, found in measured.items():
        said = (run.evaluation.get("metrics") or {}).get(task) if run else None
        value = said.get("AP") if isinstance(said, dict) else None
        if isinstance(value, int | float) and abs(value - found.AP) > 0.05:
            return (
                f"evaluation.json says {task}/AP {value:.2f}, but the results file has "
                f"{found.AP:.2f}: they are of different evaluations. This page shows the file."
            )
    return ""


def metrics_table(measured: dict[str, Metrics], suffix: str = "") -> Table:
    """COCO's metrics, one row per task."""
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR")
    columns = [Column("Of"), *(Column(name, 1, full=100) for name in names)]
    rows = [
        [TASKS[task], *(getattr(one, name) for name in names)] for task, one in measured.items()
    ]
    return Table(f"metrics{suffix}", "COCO metrics in per cent", columns, rows)


def _class_table(analysis: Analysis, others: dict[str, Evaluation]) -> Table:
    columns = [
        Column("Class"),
        Column("AP", 1, full=100),
        Column("AP50", 1),
        *(Column(f"AP of {TASKS[task]}", 1) for task in others),
        Column("Objects", 0),
        Column("Precision", 0, note="part of the detections that is right, in per cent."),
        Column("Recall", 0, note="part of the objects that is found, in per cent."),
        Column("Most frequent error"),
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
             analysis.main_error(place), button.format(name)]
        )  # fmt: skip
    rows.sort(key=lambda row: (row[1] != row[1], row[1]))
    return Table("class-table", "By class, the worst first", columns, rows)


def _error_table(costs: Sequence[ErrorCost]) -> Table:
    columns = [
        Column("Error"),
        Column("Costs", 1, note="points of AP50 that would be gained without them."),
        Column("How many", 0, note="among detections of any score."),
        Column("At threshold", 0, note="among those of at least the best score threshold."),
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


def _confused(analysis: Analysis) -> Table:
    columns = [Column("Object"), Column("Taken for"), Column("How often", 0), Column("Per cent", 0)]
    pairs = most_confused(analysis.confusion, analysis.classes)
    rows: list[list[Cell]] = [
        [x.actual, x.said, x.count, 100 * x.count / max(x.total, 1)] for x in pairs
    ]
    return Table("confused", "Most confused", columns, rows)


def _score_plots(analysis: Analysis) -> list[tuple[str, str, Markup]]:
    curves, measured = precision_recall(analysis.evaluation), calibration(analysis.evaluation)
    ap = np.array([one.AP50 for one in analysis.by_class])
    known = np.flatnonzero(np.isfinite(ap))
    order = known[np.argsort(ap[known], kind="stable")]
    chosen = order if len(order) <= 6 else np.concatenate([order[:4], order[-2:]])
    mean, single = plots.precision_recall(curves, analysis.classes, chosen.tolist())
    some = "" if len(order) <= 6 else " The four worst classes and the two best."
    return [
        ("Threshold", "What is gained and lost by showing more or fewer detections.",
         plots.by_threshold(analysis.curve)),
        ("Calibration", f"Bars below the line: too sure. Mean distance {measured.error:.2f}.",
         plots.calibration(measured)),
        ("Precision and recall", "Mean of the classes.", mean),
        ("By class", f"At an overlap of 0.5.{some}", single),
    ]  # fmt: skip


def _size_plot(measured: Metrics) -> Markup:
    names = [f"{name} ({text})" for name, text in AREAS]
    values = [measured.APs, measured.APm, measured.APl]
    return plots.bars(names, values, "AP", "AP by size of the objects")


def _size_table(measured: Metrics, results: Results) -> Table:
    counts = object_counts(results).sum(axis=0)
    columns = [Column("Size"), Column("Area"), Column("AP", 1), Column("Objects", 0)]
    values = [measured.APs, measured.APm, measured.APl]
    rows: list[list[Cell]] = [
        [name, text, value, int(count)]
        for (name, text), value, count in zip(AREAS, values, counts, strict=True)
    ]
    return Table("sizes-table", "By size of the objects", columns, rows)


def _galleries(
    analysis: Analysis, page: Path, most: int
) -> tuple[list[tuple[str, str, Gallery]], set[str]]:
    """Worst images, false positives and missed objects, each with title and explanation."""
    found, threshold, scores = analysis.found, analysis.threshold, analysis.images
    worst = worst_images(scores, most)
    wrong, missed = np.flatnonzero(found.wrong(threshold)), np.flatnonzero(found.missed(threshold))
    wrong = wrong[fair_choice(found.score[wrong], found.label[wrong], most)]
    area = np.array([one["area"] for one in analysis.evaluation.results.objects])
    missed = (
        missed[fair_choice(area[missed], found.object_label[missed], most)]
        if len(missed)
        else missed
    )
    thumbnails = Thumbnails(page, len(worst) + len(wrong) + len(missed))
    maker = CardMaker(analysis.evaluation, found, threshold, thumbnails)
    steps = tqdm(total=thumbnails.expected, desc="images", unit="image", delay=2, leave=False)

    def made(card: Any) -> Any:
        steps.update()
        return card

    with steps:
        cards = (
            [made(maker.whole(int(n), _image_note(scores, int(n)))) for n in worst],
            [made(maker.detection(int(place))) for place in wrong],
            [made(maker.missed(int(place))) for place in missed],
        )
    galleries = [
        ("Images with most errors", "", "worst"),
        ("False positives", "Certain first; some of every class.", "wrong"),
        ("Missed objects", "Large first; some of every class.", "missed"),
    ]
    return [
        (title, note, Gallery(name, some, LAYERS, analysis.classes, "None: well done."))
        for (title, note, name), some in zip(galleries, cards, strict=True)
    ], maker.unreadable


def _image_note(scores: ImageScores, place: int) -> str:
    return (
        f"{scores.right[place]} right, {scores.wrong[place]} wrong, {scores.missed[place]} missed"
    )
