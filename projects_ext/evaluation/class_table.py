"""Metrics by class as a table for the terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

ROWS_BEFORE_TWO_COLUMNS, ROWS_BEFORE_THREE_COLUMNS = 25, 60
NAME_WIDTH = 20


def class_table(
    metrics: Mapping[str, float], classes: Sequence[str], columns: Mapping[str, str]
) -> str:
    """One line a class; many classes stand side by side. What has no value is "-".

    Args:
        metrics: per cent, with keys such as ``IoU-road``: a column's prefix, "-" and the class.
        classes: the names, in the order of the lines.
        columns: the heading of each column and its prefix; those without any metric are left out.
    """
    used = {
        heading: prefix
        for heading, prefix in columns.items()
        if any(f"{prefix}-{name}" in metrics for name in classes)
    }
    rows = [
        [short, *(_number(metrics.get(f"{prefix}-{name}")) for prefix in used.values())]
        for short, name in zip(_short(classes), classes, strict=True)
    ]
    blocks = 1 + (len(rows) > ROWS_BEFORE_TWO_COLUMNS) + (len(rows) > ROWS_BEFORE_THREE_COLUMNS)
    height = -(-len(rows) // blocks)
    blank = [""] * (1 + len(used))
    lines: list[list[Any]] = []
    for index in range(height):
        beside = range(index, height * blocks, height)
        lines.append([x for i in beside for x in (rows[i] if i < len(rows) else blank)])
    alignment = ["left", *["right"] * len(used)] * blocks
    headers = ["class", *used] * blocks
    return tabulate(lines, headers=headers, colalign=alignment, disable_numparse=True)


def _short(classes: Sequence[str]) -> list[str]:
    """Names for narrow columns: of several words for the same class, the first one."""
    first = [name.split(",")[0] for name in classes]
    names = [
        word if first.count(word) == 1 else name for word, name in zip(first, classes, strict=True)
    ]
    return [name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…" for name in names]


def summary_line(metrics: Mapping[str, float]) -> str:
    """What is not by class, in one line."""
    overall = {name: value for name, value in metrics.items() if "-" not in name}
    return ", ".join(f"{name} {_number(value)}" for name, value in overall.items())


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"
