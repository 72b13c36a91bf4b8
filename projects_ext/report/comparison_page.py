"""The page that shows two runs side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup
from tqdm import tqdm

from . import plots
from .analysis import Analysis, analyse
from .cards import TRUTH, CardMaker
from .comparison import (
    CONFIDENCE,
    Difference,
    better_and_worse,
    changed_keys,
    class_differences,
    metric_differences,
    require_same_truth,
)
from .gallery import Card, Gallery, Layer, Thumbnails
from .outcomes import NAMES
from .page import number, plural, render, signed
from .results import TASKS, Results, count_objects
from .run import Run
from .scores import precision_recall
from .tables import Cell, Column, Table

FIRST, SECOND = "first", "second"
MOST_KEYS = 80
"""As many differing keys of the configs are listed."""


def comparison_page(
    first: Results,
    second: Results,
    page: Path,
    names: Sequence[str],
    *,
    runs: Sequence[Run | None] = (None, None),
    most: int = 36,
) -> str:
    """The whole page.

    Args:
        first, second: results on the same ground truth.
        page: where it will lie; thumbnails may go into a folder beside it.
        names: of both; made different if they are not.
        runs: what produced them, if it is known.
        most: images in each gallery.

    Raises:
        UserError: the ground truths differ.
    """
    require_same_truth(first, second)
    names = names if names[0] != names[1] else [f"{name} ({k})" for k, name in enumerate(names, 1)]
    task = [one for one in first.tasks if one in second.tasks][-1]
    pair = (analyse(first, task), analyse(second, task))
    evaluations = (pair[0].evaluation, pair[1].evaluation)
    by_metric, by_class = metric_differences(*evaluations), class_differences(*evaluations)
    galleries, unreadable = _galleries(pair, page, names, most)
    return render(
        "comparison.html.j2",
        title=f"{names[0]} and {names[1]}",
        names=names,
        results=first,
        objects=count_objects(first),
        task=TASKS[task],
        confidence=round(100 * CONFIDENCE),
        headline=by_metric[0],
        verdict=_verdict(by_metric[0], names),
        findings=_findings(by_class, names),
        metrics_table=_difference_table(
            "metrics", "COCO metrics in per cent", "Metric", by_metric, names
        ),
        class_table=_difference_table("class-table", "AP by class", "Class", by_class, names),
        error_table=_error_table(pair, names),
        plots=_plots(pair, names, runs),
        galleries=galleries if most else [],
        unreadable=sorted(unreadable),
        keys=_key_table(runs, names),
    )


def _verdict(one: Difference, names: Sequence[str]) -> Markup:
    if one.change != one.change:
        return Markup("The ground truth has no objects: there is no AP to compare.")
    if one.change == 0:
        return Markup("Both have the same AP.")
    better, worse = (names[1], names[0]) if one.change > 0 else (names[0], names[1])
    low, high = sorted((abs(one.low), abs(one.high)))
    if one.is_sure:
        return Markup(
            "<b>{}</b> is better than {} by {} points of AP, and by {} to {} with a confidence of "
            "{} %: <b>more than chance</b>."
        ).format(better, worse, number(abs(one.change)), number(low), number(high), _percent())
    return Markup(
        "<b>{}</b> has {} points of AP more than {}, but <b>that may be chance</b>: the {} % "
        "interval of the difference goes from {} to {}."
    ).format(better, number(abs(one.change)), worse, _percent(), signed(one.low), signed(one.high))


def _percent() -> int:
    return round(100 * CONFIDENCE)


def _findings(by_class: Sequence[Difference], names: Sequence[str]) -> list[Markup]:
    known = [one for one in by_class if one.change == one.change]
    said = []
    for kind, chosen in (
        ("better", sorted((x for x in known if x.change > 0), key=lambda x: -x.change)),
        ("worse", sorted((x for x in known if x.change < 0), key=lambda x: x.change)),
    ):
        sure = [one for one in chosen if one.is_sure]
        if not chosen:
            continue
        most = chosen[0]
        said.append(
            Markup(
                "{} {} {} with {}, {} of them by more than chance; most of all <b>{}</b> ({}). "
                '<a href="#images" data-show="{}">See its images</a>.'
            ).format(
                plural(len(chosen), "class", "classes"),
                "is" if len(chosen) == 1 else "are",
                kind,
                names[1],
                len(sure) or "none",
                most.name,
                signed(most.change),
                most.name,
            )
        )
    return said


def _difference_table(
    identifier: str, caption: str, what: str, given: Sequence[Difference], names: Sequence[str]
) -> Table:
    columns = [
        Column(what),
        Column(names[0], 1),
        Column(names[1], 1),
        Column("Change", 1, signed=True),
        Column(f"{_percent()} % interval"),
        Column("More than chance"),
    ]
    rows: list[list[Cell]] = [[x.name, x.first, x.second, x.change, *_chance(x)] for x in given]
    return Table(identifier, caption, columns, rows)


def _chance(one: Difference) -> tuple[str | None, str | None]:
    """The interval of a change, and whether chance explains it; None where there is none."""
    if one.low != one.low:
        return None, None
    interval = f"{signed(one.low)} to {signed(one.high)}"
    return interval, "yes" if one.is_sure else "no"


def _error_table(pair: Sequence[Analysis], names: Sequence[str]) -> Table:
    costs = [{one.kind: one.cost for one in analysis.costs} for analysis in pair]
    columns = [
        Column("Error"),
        Column(names[0], 1, note="points of AP50 that these errors cost."),
        Column(names[1], 1),
        Column("Change", 1, note="below zero, fewer points are lost."),
    ]
    rows: list[list[Cell]] = [
        [NAMES[kind], costs[0][kind], costs[1][kind], costs[1][kind] - costs[0][kind]]
        for kind in sorted(costs[0], key=lambda kind: -costs[0][kind])
    ]
    return Table("error-table", "What errors cost", columns, rows)


def _plots(
    pair: Sequence[Analysis], names: Sequence[str], runs: Sequence[Run | None]
) -> list[tuple[str, str, Markup]]:
    curves = [precision_recall(one.evaluation) for one in pair]
    mean = {
        name: (one.recall, one.by_overlap["mean of 0.5 to 0.95"])
        for name, one in zip(names, curves, strict=True)
    }
    f1 = {name: (one.curve.threshold, one.curve.f1) for name, one in zip(names, pair, strict=True)}
    found = [
        ("Precision and recall", "Mean of the classes and of overlaps from 0.5 to 0.95.",
         plots.lines(mean, "recall", "precision", "Precision by recall", unit=True)),
        ("F1 by score threshold", "The thresholds of two runs can differ.",
         plots.lines(f1, "score threshold", "F1", "F1 by score threshold", unit=True)),
    ]  # fmt: skip
    for key, title in (("total_loss", "Total loss"), ("segm/AP", "Mask AP"), ("bbox/AP", "Box AP")):
        series = {
            name: run.history[key]
            for name, run in zip(names, runs, strict=True)
            if run and len(run.history.get(key, ((),))[0]) > 1
        }
        if len(series) == 2:
            drawn = plots.lines(series, "iteration", title, f"{title} by iteration")
            found.append((title, "While training.", drawn))
    return found


def _key_table(runs: Sequence[Run | None], names: Sequence[str]) -> Table | None:
    first, second = runs
    if first is None or second is None:
        return None
    keys = changed_keys(first.config, second.config)[:MOST_KEYS]
    columns = [Column("Key"), Column(names[0]), Column(names[1])]
    return Table("keys", "Keys of the config that differ", columns, keys)


def _galleries(
    pair: Sequence[Analysis], page: Path, names: Sequence[str], most: int
) -> tuple[list[tuple[str, str, Gallery]], set[str]]:
    first, second = pair
    better, worse = better_and_worse(first.images.errors, second.images.errors, most)
    thumbnails = Thumbnails(page, len(better) + len(worse))
    makers = [
        CardMaker(one.evaluation, one.found, one.threshold, thumbnails, layer)
        for one, layer in zip(pair, (FIRST, SECOND), strict=True)
    ]
    layers = (Layer(TRUTH, "Ground truth"), Layer(FIRST, names[0]), Layer(SECOND, names[1]))
    steps = tqdm(total=thumbnails.expected, desc="images", unit="image", delay=2, leave=False)
    galleries = []
    with steps:
        for title, chosen, name in (
            (f"Better with {names[1]}", better, "better"),
            (f"Worse with {names[1]}", worse, "worse"),
        ):
            cards = []
            for place in chosen:
                errors = [int(one.images.errors[place]) for one in pair]
                cards.append(_card(makers, int(place), f"errors: {errors[0]} → {errors[1]}"))
                steps.update()
            gallery = Gallery(name, cards, layers, first.classes, "No image.")
            galleries.append((title, "", gallery))
    return galleries, makers[0].unreadable


def _card(makers: Sequence[CardMaker], image: int, note: str) -> Card:
    """An image with the detections of both; what is right or wrong is not told apart."""
    card = makers[0].whole(image, note)
    window = (0, 0, card.width, card.height)
    shapes: list[Any] = [*card.shapes]
    shapes += [one for one in makers[1].shapes_of(image, window) if one.layer == SECOND]
    tones = {TRUTH: "truth", FIRST: FIRST, SECOND: SECOND}
    return replace(card, shapes=[replace(one, tone=tones[one.layer]) for one in shapes])
