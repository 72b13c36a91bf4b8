"""The page of a data set: class balance, sizes, objects per image, what is odd, thumbnails."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from projects_ext.data.image_files import spread
from projects_ext.data.statistics import LabelMapStatistics, ObjectStatistics, Oddity
from projects_ext.data.statistics.objects import LARGE, SMALL

from . import plots
from .dataset_cards import LabelCards, ObjectCards, Record
from .gallery import Card, Gallery, Thumbnails
from .histograms import histogram
from .page import number, plural, render
from .tables import Column, Table

MOST_BARS = 15
ODD_IMAGES = 12
"""Of each kind of oddity so many images are shown."""

Plot = tuple[str, str, Markup]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]
Cards = ObjectCards | LabelCards


def objects_page(
    name: str,
    data: ObjectStatistics,
    oddities: Sequence[Oddity],
    records: Sequence[Record],
    page: Path,
    *,
    most: int = 36,
    progress: Progress | None = None,
) -> str:
    """The page of a data set with objects.

    Args:
        name: of the data set.
        data: its figures.
        oddities: what looks odd in it.
        records: Detectron2's dictionaries, as the figures were made of.
        page: where it will lie; thumbnails may go into a folder beside it.
        most: images in the gallery of all kinds.
        progress: wraps the images while they are drawn, given their number as well.
    """
    cards = ObjectCards(data, records, _thumbnails(page, oddities, len(data.files), most))
    crowds = int(data.crowds.sum())
    figures = [
        ("images", f"{len(data.files):,}"),
        ("objects", f"{len(data.labels):,}"),
        ("classes", f"{len(data.classes):,}"),
        ("objects per image", number(float(data.per_image.mean()), 1)),
    ]
    note = f"{plural(crowds, 'crowd region')} not counted." if crowds else ""
    galleries, sample = _galleries(data.files, data.classes, oddities, cards, most, progress)
    return render(
        "dataset.html.j2",
        title=_title(name),
        source=name,
        figures=figures,
        note=note,
        class_plot=_class_plot(data.classes, data.per_class, "objects"),
        class_table=_object_table(data),
        plots=_object_plots(data),
        oddities=galleries,
        sample=sample,
        unreadable=sorted(cards.unreadable),
        legend=[("truth", "annotation"), ("wrong", "the odd one")],
    )


def label_maps_page(
    name: str,
    data: LabelMapStatistics,
    oddities: Sequence[Oddity],
    colours: np.ndarray,
    page: Path,
    *,
    most: int = 36,
    progress: Progress | None = None,
) -> str:
    """The page of a data set with label maps; see :func:`objects_page`.

    Args:
        colours: (K, 3) uint8 of the classes.
    """
    cards = LabelCards(data, colours, _thumbnails(page, oddities, 2 * len(data.files), 2 * most))
    ignored = 100 * float(data.pixels[:, 255].sum() / max(int(data.pixels.sum()), 1))
    figures = [
        ("images", f"{len(data.files):,}"),
        ("classes", f"{len(data.classes):,}"),
        ("classes per image", number(float(data.classes_per_image.mean()), 1)),
        ("of the pixels ignored", f"{number(ignored, 1)} %"),
    ]
    galleries, sample = _galleries(data.files, data.classes, oddities, cards, most, progress)
    return render(
        "dataset.html.j2",
        title=_title(name),
        source=name,
        figures=figures,
        note="",
        class_plot=_class_plot(data.classes, data.shares, "pixels"),
        class_table=_label_table(data),
        plots=_label_plots(data),
        oddities=galleries,
        sample=sample,
        unreadable=sorted(cards.unreadable),
        legend=[],
    )


def _title(name: str) -> str:
    """A short title: of a path, the file's name."""
    first = name.split(" (")[0].split(" + ")[0]
    return f"Data set {Path(first).name}"


def _thumbnails(page: Path, oddities: Sequence[Oddity], images: int, most: int) -> Thumbnails:
    odd = sum(min(len(oddity.images), ODD_IMAGES) for oddity in oddities)
    return Thumbnails(page, odd + min(images, most))


def _galleries(
    files: Sequence[str],
    classes: Sequence[str],
    oddities: Sequence[Oddity],
    cards: Cards,
    most: int,
    progress: Progress | None,
) -> tuple[list[tuple[Oddity, list[str], Gallery | None]], Gallery]:
    """The oddities with the classes and the images concerned, and a sample of all images."""
    chosen = spread(range(len(files)), most) if most else []
    jobs: list[tuple[Oddity | None, int]] = [
        (oddity, image) for oddity in oddities for image in oddity.images[:ODD_IMAGES]
    ]
    jobs += [(None, image) for image in chosen]
    drawn: dict[str, list[Card]] = {}
    for oddity, image in progress(jobs, len(jobs)) if progress else jobs:
        odd = oddity.objects if oddity else ()
        card = cards.card(image, odd=odd)
        if card is not None:
            drawn.setdefault(oddity.kind if oddity else "", []).append(card)
    found = []
    for oddity in oddities:
        names = [classes[index] for index in oddity.classes]
        made = drawn.get(oddity.kind)
        gallery = Gallery(f"odd-{oddity.kind}", made, cards.layers) if made else None
        found.append((oddity, names, gallery))
    sample = drawn.get("", [])
    tags = sorted({tag for card in sample for tag in card.tags})
    return found, Gallery("sample", sample, cards.layers, tags)


def _class_plot(classes: Sequence[str], amounts: np.ndarray, unit: str) -> Markup | None:
    """The most and the least frequent classes; None for one class."""
    if len(classes) < 2 or not amounts.sum():
        return None
    order = np.argsort(-amounts, kind="stable")
    if len(order) > MOST_BARS:
        order = np.concatenate([order[: MOST_BARS - 5], order[amounts[order] > 0][-5:]])
    names = [classes[index] for index in dict.fromkeys(order.tolist())]
    shares = [float(100 * amounts[i] / amounts.sum()) for i in dict.fromkeys(order.tolist())]
    return plots.bars(names, shares, f"per cent of all {unit}", f"Share of the {unit} by class")


def _object_table(data: ObjectStatistics) -> Table:
    largest = float(max(data.per_class.max(initial=0), 1))
    columns = [
        Column("Class"),
        Column("Objects", 0, full=largest),
        Column("Share %", 1),
        Column("Images", 0),
        Column("Median size", 0, "edge of the square that has the area of the box, in pixels."),
        Column("Small %", 1, f"boxes below {SMALL} x {SMALL} pixels.", full=100),
        Column("Medium %", 1, full=100),
        Column("Large %", 1, f"from {LARGE} x {LARGE} on.", full=100),
    ]
    total = max(len(data.labels), 1)
    rows = []
    for index in np.argsort(-data.per_class, kind="stable").tolist():
        count = int(data.per_class[index])
        sizes = [100 * part / count if count else None for part in data.by_size[index].tolist()]
        median = float(data.median_sides[index])
        images = int(data.images_per_class[index])
        rows.append([data.classes[index], count, 100 * count / total, images, median, *sizes])
    return Table("class-table", "Objects by class", columns, rows)


def _label_table(data: LabelMapStatistics) -> Table:
    images = data.totals.images[: len(data.classes)]
    columns = [
        Column("Class"),
        Column("Label", 0),
        Column("Share of pixels %", 2, "of those that are not ignored.", full=100),
        Column("Images", 0, full=float(len(data.files))),
        Column("Where it occurs %", 1, "median share of the pixels of images that have the class."),
    ]
    rows = []
    for index in np.argsort(-data.shares, kind="stable").tolist():
        here = data.pixels[:, index] > 0
        shares = data.pixels[here, index] / np.maximum(data.pixels[here].sum(axis=1), 1)
        median = 100 * float(np.median(shares)) if here.any() else None
        share = 100 * float(data.shares[index])
        rows.append([data.classes[index], index, share, int(images[index]), median])
    return Table("class-table", "Pixels by class", columns, rows)


def _object_plots(data: ObjectStatistics) -> list[Plot]:
    shown = [
        (
            "Objects per image",
            "",
            histogram(data.per_image, "objects", "images", "Objects per image", whole=True),
        )
    ]
    if len(data.labels):
        wide = data.edges[:, 0] / np.maximum(data.edges[:, 1], 1e-9)
        relative = 100 * data.relative_sides
        shown += [
            (
                "Size of objects",
                "In pixels of the image files, before they are resized.",
                histogram(
                    data.sides, "edge of a square, pixels", "objects", "Size of objects", log=True
                ),
            ),
            (
                "Shape of objects",
                "1 is a square, 2 twice as wide as high, 0.5 twice as high as wide.",
                histogram(wide, "width / height", "objects", "Shape of objects", log=True),
            ),
        ]
        if np.isfinite(relative).any():
            drawn = histogram(relative, "per cent", "objects", "Size within the image", log=True)
            note = "The object's edge as a share of the image's."
            shown.append(("Size within the image", note, drawn))
    known = data.sizes[np.isfinite(data.sizes).all(axis=1)]
    if len(known):
        edges = np.sqrt(known.prod(axis=1))
        drawn = histogram(edges, "edge of a square, pixels", "images", "Size of images")
        shown.append(("Size of images", "", drawn))
    return shown


def _label_plots(data: LabelMapStatistics) -> list[Plot]:
    per_image, ignored = data.classes_per_image, 100 * data.ignored
    shown = [
        (
            "Classes per image",
            "",
            histogram(per_image, "classes", "images", "Classes per image", whole=True),
        )
    ]
    if ignored.any():
        drawn = histogram(ignored, "per cent of the pixels", "images", "Ignored pixels by image")
        shown.append(("Ignored", "How much of each image is 255.", drawn))
    return shown
