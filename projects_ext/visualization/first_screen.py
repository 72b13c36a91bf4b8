"""What a data set holds, in a screen of text."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from projects_ext.data.statistics import LabelMapStatistics, ObjectStatistics, Oddity

MOST_CLASSES = 30
"""More are not listed one by one: the most frequent and the rarest are."""
NAMED = 3
WIDTH = 100


def describe_objects(name: str, data: ObjectStatistics, oddities: Sequence[Oddity]) -> str:
    """Counts, sizes by class and what looks odd.

    Args:
        name: of the data set.
        data: its objects.
        oddities: what was found in them.
    """
    images, objects = len(data.files), len(data.labels)
    crowds = int(data.crowds.sum())
    heading = f"{name}: {_count(images, 'image')}, {_count(objects, 'object')}"
    heading += f" and {_count(crowds, 'crowd region')}" if crowds else ""
    heading += f", {_count(len(data.classes), 'class')}"
    rows = [("image size", _sizes(data.sizes))]
    if objects:
        rows += [
            ("objects per image", _spread(data.per_image)),
            ("object size", f"{_spread(data.sides)} pixels (edge of a square of the box's area)"),
        ]
        relative = data.relative_sides
        if np.isfinite(relative).any():
            share = 100 * float(np.nanmedian(relative))
            rows.append(("of the image's", f"median {share:.1f} %"))
    lines = [heading, tabulate(rows, tablefmt="plain"), "", _object_table(data), ""]
    return "\n".join([*lines, *_odd_lines(data.files, data.classes, oddities)])


def describe_label_maps(name: str, data: LabelMapStatistics, oddities: Sequence[Oddity]) -> str:
    """Pixels and images by class and what looks odd; see :func:`describe_objects`."""
    heading = f"{name}: {_count(len(data.files), 'image')} with label maps, "
    heading += f"{_count(len(data.classes), 'class')}"
    rows = [
        ("classes per image", _spread(data.classes_per_image)),
        ("ignored (255)", f"{100 * _overall_ignored(data):.2f} % of all pixels"),
    ]
    lines = [heading, tabulate(rows, tablefmt="plain"), "", data.totals.table(), ""]
    return "\n".join([*lines, *_odd_lines(data.files, data.classes, oddities)])


def _overall_ignored(data: LabelMapStatistics) -> float:
    return float(data.pixels[:, 255].sum() / max(int(data.pixels.sum()), 1))


def _object_table(data: ObjectStatistics) -> str:
    """One line per class that has objects, the most frequent first."""
    order = np.argsort(-data.per_class, kind="stable")[: int((data.per_class > 0).sum())]
    left_out = len(order) - MOST_CLASSES
    shown: list[int | None] = [int(index) for index in order]
    if left_out > 1:
        half = MOST_CLASSES // 2
        shown = [*shown[:half], None, *shown[-half:]]
    total = max(len(data.labels), 1)
    rows = []
    for index in shown:
        if index is None:
            rows.append([f"… {left_out} more", *[""] * 7])
            continue
        count = int(data.per_class[index])
        sizes = [_percent(part, count) for part in data.by_size[index]]
        median = data.median_sides[index]
        rows.append(
            [
                textwrap.shorten(data.classes[index], 30, placeholder="…"),
                f"{count:,}",
                _percent(count, total),
                f"{int(data.images_per_class[index]):,}",
                "-" if math.isnan(median) else f"{median:.0f}",
                *sizes,
            ]
        )
    headers = ["class", "objects", "share", "images", "median size", "small", "medium", "large"]
    table = tabulate(
        rows, headers=headers, disable_numparse=True, colalign=["left", *["right"] * 7]
    )
    return f"{table}\nsmall: below 32 x 32 pixels; large: from 96 x 96 on, by the area of the box"


def _odd_lines(
    files: Sequence[str], classes: Sequence[str], oddities: Sequence[Oddity]
) -> list[str]:
    if not oddities:
        return ["Nothing looks odd."]
    lines = ["Worth a look:"]
    for oddity in oddities:
        lines.append(f"  {oddity_text(oddity, files, classes)}")
        lines += textwrap.wrap(
            oddity.advice, WIDTH, initial_indent="    ", subsequent_indent="    ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return lines


def oddity_text(oddity: Oddity, files: Sequence[str], classes: Sequence[str]) -> str:
    """What was found and where, such as "3 boxes with …: a.jpg, b.jpg, …"."""
    if oddity.kind == "imbalance":
        return oddity.title
    named = [classes[index] for index in oddity.classes]
    named = named or [Path(files[index]).name for index in oddity.images]
    more = ", …" if len(named) > NAMED else ""
    return f"{oddity.count:,} {oddity.title}: {', '.join(named[:NAMED])}{more}"


def _sizes(sizes: np.ndarray) -> str:
    """Heights and widths of images, as text."""
    known = sizes[np.isfinite(sizes).all(axis=1)]
    if not len(known):
        return "not known"
    height, width = np.median(known, axis=0)
    if (known == known[0]).all():
        return f"{width:.0f} x {height:.0f} (width x height)"
    (low_height, low_width), (high_height, high_width) = known.min(axis=0), known.max(axis=0)
    return (
        f"{low_width:.0f} to {high_width:.0f} x {low_height:.0f} to {high_height:.0f}, median "
        f"{width:.0f} x {height:.0f} (width x height)"
    )


def _spread(values: np.ndarray) -> str:
    low, middle, high = (float(x) for x in (values.min(), np.median(values), values.max()))
    return f"{low:,.0f} to {high:,.0f}, median {middle:,.0f}"


def _count(number: int, word: str) -> str:
    plural = "classes" if word == "class" else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"


def _percent(part: Any, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
