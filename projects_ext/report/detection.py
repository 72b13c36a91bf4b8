"""The report of one detection or instance segmentation run."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from tqdm import tqdm

from . import plots
from .analysis import Analysis, analyse
from .cards import LAYERS, CardMaker
from .detection_tables import (
    MOST_CLASSES,
    class_table,
    confused_table,
    confusion_rows,
    error_table,
    metrics_table,
    size_table,
)
from .errors import Confusion
from .evaluation import AREAS, Metrics, evaluate, metrics
from .gallery import Gallery, Thumbnails
from .images import ImageScores, fair_choice, worst_images
from .page import number, plural, render
from .results import TASKS, Results, count_objects, size_warning
from .run import Run
from .scores import calibration, precision_recall
from .training import changed_keys, run_facts, training_plots

MOST_BARS = 10
"""As many classes are drawn above the tables."""


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
    shown = {tag for _, _, gallery in galleries for card in gallery.cards for tag in card.tags}
    return render(
        "detection.html.j2",
        title=title or (run.name if run else Path(results.results_file).stem),
        results=results,
        task=TASKS[task],
        best=analysis.curve.best,
        measured=measured[task],
        objects=count_objects(results),
        findings=_findings(analysis, shown),
        warnings=[x for x in (_disagreement(run, measured), size_warning(results)) if x],
        metrics_table=metrics_table(measured),
        class_plot=_class_plot(analysis),
        class_table=class_table(analysis, others, shown),
        score_plots=_score_plots(analysis),
        size_plot=_size_plot(measured[task]),
        size_table=size_table(measured[task], results),
        galleries=galleries,
        unreadable=sorted(unreadable),
        **_errors(analysis),
        **_about(run),
    )


def _errors(analysis: Analysis) -> dict[str, Any]:
    """What the template needs for its section of errors."""
    return {
        "error_plot": plots.error_bars(analysis.costs),
        "error_table": error_table(analysis.costs),
        "confusion": confusion_rows(analysis.confusion, analysis.classes),
        "confusion_chosen": min(len(analysis.classes), MOST_CLASSES),
        "confused": confused_table(analysis),
    }


def _about(run: Run | None) -> dict[str, Any]:
    """What the template needs for its sections of training and of the run."""
    if run is None:
        return {"facts": [], "curves": [], "changed": "", "config": ""}
    return {
        "facts": run_facts(run),
        "curves": training_plots(run),
        "changed": changed_keys(run),
        "config": run.config,
    }


def _class_plot(analysis: Analysis) -> Markup | None:
    """The AP of the worst classes; None if there is but one."""
    values = np.array([one.AP for one in analysis.by_class])
    rising = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")
    order = [int(k) for k in rising[:MOST_BARS] if np.isfinite(values[k])]
    if len(order) < 2:
        return None
    names = [analysis.classes[k] for k in order]
    return plots.bars(names, values[order].tolist(), "AP", "AP by class, the worst first")


def _findings(analysis: Analysis, shown: Set[str]) -> list[Markup]:
    """What the numbers say, in sentences, the most useful first; ``shown``: classes with images."""
    if not count_objects(analysis.evaluation.results):
        return [Markup("The ground truth has no objects: there is nothing to measure.")]
    said = []
    worst = analysis.worst_class
    if worst is not None:
        name, mean = analysis.classes[worst], metrics(analysis.evaluation).AP
        sentence = Markup(
            "The worst class is <b>{}</b>, with an AP of {} where the mean is {}."
        ).format(name, number(analysis.by_class[worst].AP), number(mean))
        if name in shown:
            sentence += Markup(' <a href="#images" data-show="{}">See its images</a>.').format(name)
        why = analysis.main_error(worst)
        said.append(sentence + (Markup(" Its most frequent error: {}.").format(why) if why else ""))
    costly = analysis.costs[0]
    if costly.cost > 0:
        said.append(
            Markup("Over all classes, <b>{}</b> costs most: {} points of AP50.").format(
                costly.name, number(costly.cost)
            )
        )
    if analysis.confused:
        said.append(_confused_sentence(analysis.confused[0]))
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
                number(100 * best.f1),
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
    return Markup("<b>{}</b> is most often taken for <b>{}</b>: {} on {}.").format(
        pair.actual, pair.said, plural(pair.count, "detection"), plural(pair.total, "object")
    )


def _disagreement(run: Run | None, measured: Mapping[str, Metrics]) -> str:
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


def _score_plots(analysis: Analysis) -> list[tuple[str, str, Markup]]:
    curves, measured = precision_recall(analysis.evaluation), calibration(analysis.evaluation)
    ap = np.array([one.AP50 for one in analysis.by_class])
    known = np.flatnonzero(np.isfinite(ap))
    order = known[np.argsort(ap[known], kind="stable")]
    chosen = order if len(order) <= 6 else np.concatenate([order[:4], order[-2:]])
    mean, single = plots.precision_recall(curves, analysis.classes, chosen.tolist())
    some = "" if len(order) <= 6 else " The four worst classes and the two best."
    calibrated = (
        []
        if measured is None
        else [
            ("Calibration", f"Bars below the line: too sure. Mean distance {measured.error:.2f}.",
             plots.calibration(measured))
        ]
    )  # fmt: skip
    outside = "" if measured else " Scores are not between 0 and 1: no calibration is shown."
    return [
        ("Threshold", f"What is gained and lost by showing more or fewer detections.{outside}",
         plots.by_threshold(analysis.curve)),
        *calibrated,
        ("Precision and recall", "Mean of the classes.", mean),
        ("By class", f"At an overlap of 0.5.{some}", single),
    ]  # fmt: skip


def _size_plot(measured: Metrics) -> Markup:
    names = [f"{name} ({text})" for name, text in AREAS]
    values = [measured.APs, measured.APm, measured.APl]
    return plots.bars(names, values, "AP", "AP by size of the objects")


def _galleries(
    analysis: Analysis, page: Path, most: int
) -> tuple[list[tuple[str, str, Gallery]], set[str]]:
    """Worst images, false positives and missed objects, each with title and explanation."""
    if not most:
        return [], set()
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
    empty = "None: well done." if count_objects(analysis.evaluation.results) else "None."
    return [
        (title, note, Gallery(name, some, LAYERS, analysis.classes, empty))
        for (title, note, name), some in zip(galleries, cards, strict=True)
    ], maker.unreadable


def _image_note(scores: ImageScores, place: int) -> str:
    return (
        f"{scores.right[place]} right, {scores.wrong[place]} wrong, {scores.missed[place]} missed"
    )
