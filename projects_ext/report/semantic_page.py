"""The report of one run of semantic segmentation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image
from tqdm import tqdm

from projects_ext.data.labels import IGNORE_LABEL, read_label_map
from projects_ext.errors import UserError

from . import plots
from .dataset_cards import coloured, read_picture
from .gallery import Card, Gallery, Layer, Picture, Thumbnails
from .histograms import histogram
from .page import number, render
from .run import Run
from .semantic_results import SegmentationResults, SegmentedImage, worst_first
from .tables import Cell, Column, Table
from .training import run_facts, training_plots

MOST_BARS, MOST_CLASSES, MOST_PAIRS = 12, 24, 12
TRUTH, PREDICTIONS, ERRORS = "truth", "predictions", "errors"
LAYERS = (
    Layer(TRUTH, "Ground truth", on=False),
    Layer(PREDICTIONS, "Prediction", on=False),
    Layer(ERRORS, "Errors"),
)
WRONG, IGNORED = (255, 138, 61, 190), (0, 0, 0, 140)
"""Of the map of errors, with opacity."""


def semantic_page(
    results: SegmentationResults,
    page: Path,
    *,
    run: Run | None = None,
    title: str = "",
    most: int = 36,
) -> str:
    """The whole report.

    Args:
        results: read and checked.
        page: where it will lie; thumbnails may go into a folder beside it.
        run: what produced them, if it is known.
        title: the page's; by default the run's name.
        most: images in the gallery.
    """
    gallery, unreadable = _gallery(results, page, most)
    scores = np.array([x.mean_iou for x in results.images if x.mean_iou is not None])
    score_plot = (
        histogram(scores, "mean IoU of an image", "images", "Mean IoU by image")
        if len(scores)
        else None
    )
    return render(
        "semantic.html.j2",
        title=title or (run.name if run else Path(results.file).parent.name),
        results=results,
        findings=_findings(results, gallery.tags),
        class_plot=_class_plot(results),
        class_table=_class_table(results),
        confusion=confusion_rows(results),
        confusion_chosen=min(len(results.classes), MOST_CLASSES),
        confused=_confused(results),
        score_plot=score_plot,
        gallery=gallery,
        legend=[(name, _css(c)) for name, c in zip(results.classes, results.colours, strict=True)],
        unreadable=sorted(unreadable),
        facts=run_facts(run) if run else [],
        curves=training_plots(run) if run else [],
        config=run.config if run else "",
    )


def _css(colour: np.ndarray) -> str:
    red, green, blue = (int(value) for value in colour)
    return f"rgb({red}, {green}, {blue})"


def _findings(results: SegmentationResults, shown: Sequence[str]) -> list[Markup]:
    """What the numbers say, in sentences, the most useful first."""
    said = []
    if results.present.sum() > 1:
        worst = int(np.nanargmin(results.iou))
        sentence = Markup(
            "The worst class is <b>{}</b>, with an IoU of {} where the mean is {}: {} % of its "
            "pixels are found."
        )
        name, recall = results.classes[worst], number(float(results.recall[worst]), 0)
        iou, mean = number(float(results.iou[worst])), number(results.mean_iou)
        said.append(sentence.format(name, iou, mean, recall))
        if name in shown:
            said[-1] += Markup(' <a href="#images" data-show="{}">See its images</a>.').format(name)
    pairs = confused_pairs(results)
    if pairs:
        actual, taken, count = pairs[0]
        total, wrong = (
            results.confusion.sum(),
            results.confusion.sum() - np.trace(results.confusion),
        )
        said.append(
            Markup(
                "<b>{}</b> taken for <b>{}</b> is the most frequent error: {} % of all wrong "
                "pixels, {} % of all pixels."
            ).format(
                results.classes[actual],
                results.classes[taken],
                number(100 * count / wrong, 0),
                number(100 * count / total, 1),
            )
        )
    absent = [n for n, here in zip(results.classes, results.present, strict=True) if not here]
    if absent:
        named = ", ".join(absent[:6]) + (", …" if len(absent) > 6 else "")
        one = len(absent) == 1
        said.append(
            Markup("{} not measured, as the ground truth has no pixel of {}: {}.").format(
                "1 class is" if one else f"{len(absent)} classes are",
                "it" if one else "them",
                named,
            )
        )
    return said


def _class_plot(results: SegmentationResults) -> Markup | None:
    """The IoU of the worst classes; None if there is but one."""
    order = np.argsort(np.where(results.present, results.iou, np.inf), kind="stable")
    chosen = [int(k) for k in order[:MOST_BARS] if results.present[k]]
    if len(chosen) < 2:
        return None
    names = [results.classes[k] for k in chosen]
    return plots.bars(names, results.iou[chosen].tolist(), "IoU", "IoU by class, the worst first")


def _class_table(results: SegmentationResults) -> Table:
    columns = [
        Column("Class"),
        Column("IoU", 1, full=100),
        Column("Found %", 1, "pixels of the class that are predicted as it (accuracy).", full=100),
        Column("Right %", 1, "pixels predicted as the class that are of it.", full=100),
        Column("Share of pixels %", 2),
        Column("Most taken for"),
    ]
    total = max(int(results.confusion.sum()), 1)
    wrong = results.confusion.copy()
    np.fill_diagonal(wrong, 0)
    rows: list[list[Cell]] = []
    for k in np.argsort(np.where(results.present, results.iou, np.inf), kind="stable").tolist():
        row = wrong[k]
        taken = results.classes[int(row.argmax())] if row.any() else None
        figures = [results.iou[k], results.recall[k], results.precision[k]]
        share = 100 * int(results.confusion[k].sum()) / total
        rows.append([results.classes[k], *map(float, figures), share, taken])
    return Table("class-table", "Per class, the worst first", columns, rows)


def confusion_rows(results: SegmentationResults) -> dict[str, Any]:
    """The matrix for the template, in per cent of the ground truth, of the most confused classes.

    Returns:
        ``columns``: names; ``rows``: (name, [(per cent, part of the row, whether it is right)]).
    """
    wrong = results.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")
    chosen = sorted(order[:MOST_CLASSES].tolist())
    totals = np.maximum(results.confusion.sum(axis=1), 1)
    parts = results.confusion / totals[:, None]
    rows = [
        (
            results.classes[row],
            [(round(100 * float(parts[row, k])), float(parts[row, k]), row == k) for k in chosen],
        )
        for row in chosen
    ]
    return {"columns": [results.classes[k] for k in chosen], "rows": rows}


def confused_pairs(results: SegmentationResults) -> list[tuple[int, int, int]]:
    """Class, what it is taken for and how many pixels, the most frequent first."""
    wrong = results.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong.reshape(-1), kind="stable")[:MOST_PAIRS]
    pairs = [divmod(int(place), len(results.classes)) for place in order]
    return [(row, column, int(wrong[row, column])) for row, column in pairs if wrong[row, column]]


def _confused(results: SegmentationResults) -> Table:
    columns = [
        Column("Class"),
        Column("Taken for"),
        Column("Of its pixels %", 1),
        Column("Of all errors %", 1),
    ]
    errors = max(int(results.confusion.sum() - np.trace(results.confusion)), 1)
    totals = results.confusion.sum(axis=1)
    rows: list[list[Cell]] = [
        [results.classes[row], results.classes[k], 100 * n / int(totals[row]), 100 * n / errors]
        for row, k, n in confused_pairs(results)
    ]
    return Table("confused", "Most confused", columns, rows)


def _gallery(results: SegmentationResults, page: Path, most: int) -> tuple[Gallery, set[str]]:
    """The worst images, with what is there, what was predicted, and where these differ."""
    chosen = worst_first(results.images)[:most]
    thumbnails, unreadable = Thumbnails(page, 4 * len(chosen)), set[str]()
    cards = []
    for one in tqdm(chosen, "drawing", unit="image", disable=len(chosen) < 8):
        card = _card(one, results, thumbnails, unreadable)
        if card is not None:
            cards.append(card)
    tags = sorted({tag for card in cards for tag in card.tags})
    gone = [x for x in chosen if x.prediction is not None and not x.prediction.is_file()]
    empty = "None: no predictions were kept."
    if gone:
        empty = f"None: the predictions are missing, such as {gone[0].prediction}."
    elif not most:
        empty = "Left out, as --gallery 0 asks."
    return Gallery("worst", cards, LAYERS, tags, empty), unreadable


def _card(
    one: SegmentedImage, results: SegmentationResults, thumbnails: Thumbnails, unreadable: set[str]
) -> Card | None:
    picture = read_picture(str(one.path), unreadable)
    if picture is None or one.prediction is None:
        return None
    try:
        truth, prediction = read_label_map(one.label_file), read_label_map(one.prediction)
    except UserError:
        unreadable.add(one.path.name)
        return None
    if truth.shape != prediction.shape:
        unreadable.add(one.path.name)
        return None
    layers = (
        (TRUTH, coloured(truth, results.colours)),
        (PREDICTIONS, coloured(prediction, results.colours)),
        (ERRORS, error_map(truth, prediction)),
    )
    src = thumbnails.add(picture)
    pictures = [Picture(layer, thumbnails.add(image, lossless=True)) for layer, image in layers]
    present = np.unique(np.concatenate([np.unique(truth), np.unique(prediction)]))
    names = [results.classes[label] for label in present if label < len(results.classes)]
    note = (
        f"mean IoU {number(one.mean_iou)}, {number(100 * one.wrong / max(one.pixels, 1))} % of the "
        "pixels wrong"
    )
    return Card(src, *picture.size, one.path.name, note, names, pictures=pictures)


def error_map(truth: np.ndarray, prediction: np.ndarray) -> Image.Image:
    """Wrong pixels in orange, ignored ones dark, right ones transparent.

    Args:
        truth, prediction: labels (H, W).
    """
    pixels = np.zeros((*truth.shape, 4), dtype=np.uint8)
    pixels[truth != prediction] = WRONG
    pixels[truth == IGNORE_LABEL] = IGNORED
    height, width = truth.shape
    scale = min(1.0, 480 / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(pixels, "RGBA").resize(size, Image.Resampling.BOX)
