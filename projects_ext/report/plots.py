"""Plots as SVG that takes its colours and its font from the page."""

import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .errors import ErrorCost
from .scores import Calibration, PrecisionRecall, ScoreCurve

# Drawn with colours that nothing else has, and replaced by names of the page's style sheet.
INK, SOFT, LINE = "#010101", "#020202", "#030303"
SERIES = tuple(f"#0101{number:02x}" for number in range(16, 24))
_VARIABLES = {INK: "currentColor", SOFT: "var(--soft)", LINE: "var(--line)"}
_VARIABLES |= {colour: f"var(--c{number})" for number, colour in enumerate(SERIES)}
_DASHES = ("-", "--", "-.", ":")

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 11,
    "font.family": ["DejaVu Sans"],
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.9,
}
_numbers = itertools.count(1)
MOST_POINTS = 300
"""Longer curves are thinned out to about as many points."""


class _Drawing:
    """A figure with one pair of axes, and the SVG of it once it is drawn."""

    svg = Markup("")

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height), layout="constrained")
        self.figure.patch.set_alpha(0)
        self.axes: Axes = self.figure.add_subplot()
        self.axes.patch.set_alpha(0)


@contextmanager
def drawing(label: str, width: float = 5.2, height: float = 3.3) -> Iterator[_Drawing]:
    """Within, draw on ``axes``; afterwards ``svg`` is there.

    Args:
        label: read to those who do not see it.
        width, height: in inches; a text of 11 points keeps its size on a page 26 rem wide.
    """
    with matplotlib.rc_context(_STYLE):
        drawn = _Drawing(width, height)
        yield drawn
        buffer = io.StringIO()
        drawn.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    drawn.svg = _for_page(buffer.getvalue(), label)


def _for_page(svg: str, label: str) -> Markup:
    """Without what only a file needs, with ids of its own and the page's colours."""
    body = svg[svg.index("<svg") :]
    # matplotlib's own style would hold for the whole page.
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    opening, _, rest = body.partition(">")
    view = re.search(r'viewBox="[^"]*"', opening)
    number = next(_numbers)
    rest = re.sub(r'\bid="([^"]*)"', rf'id="plot{number}-\1"', rest)
    rest = re.sub(r'(?:xlink:)?href="#([^"]*)"', rf'href="#plot{number}-\1"', rest)
    rest = re.sub(r"url\(#([^)]*)\)", rf"url(#plot{number}-\1)", rest)
    rest = re.sub(r" font-family: [^;\"]*;", "", rest)
    for colour, variable in _VARIABLES.items():
        rest = rest.replace(colour, variable)
    return Markup('<svg {} role="img" aria-label="{}">{}').format(
        Markup(view.group() if view else ""), label, Markup(rest)
    )


def _thinned(values: np.ndarray) -> np.ndarray:
    """Places to draw: the ends, and evenly spaced ones between."""
    count = min(len(values), MOST_POINTS)
    return np.linspace(0, len(values) - 1, count).round().astype(int)


def lines(
    series: Mapping[str, tuple[np.ndarray, np.ndarray]],
    x: str,
    y: str,
    label: str,
    unit: bool = False,
) -> Markup:
    """Curves by name; each is told by colour and by dashes.

    Args:
        series: name -> (x, y); NaN is left out.
        x, y: labels of the axes.
        label: of the whole plot.
        unit: whether both go from 0 to 1.
    """
    with drawing(label) as drawn:
        for number, (name, (across, up)) in enumerate(series.items()):
            places = _thinned(across)
            dash = _DASHES[(number // len(SERIES) + number) % len(_DASHES)]
            drawn.axes.plot(
                across[places], up[places], dash, color=SERIES[number % len(SERIES)], label=name
            )
        drawn.axes.set(xlabel=x, ylabel=y)
        if unit:
            drawn.axes.set(xlim=(0, 1), ylim=(0, 1.02))
        if len(series) > 1:
            _legend(drawn.axes, len(series))
    return drawn.svg


def _legend(axes: Axes, count: int) -> None:
    """Below the plot, where it covers nothing."""
    axes.figure.legend(loc="outside lower center", ncols=min(count, 3), columnspacing=1.2)


def precision_recall(
    curves: PrecisionRecall, classes: Sequence[str], chosen: Sequence[int]
) -> tuple[Markup, Markup]:
    """Two plots: the mean of the classes by overlap, and some classes at an overlap of 0.5."""
    mean = {name: (curves.recall, curve) for name, curve in curves.by_overlap.items()}
    names = [_short(classes[k]) for k in chosen]
    if len(set(names)) < len(names):  # what they differ in was cut off
        names = [classes[k] for k in chosen]
    by_class = curves.by_class[:, list(chosen)].T
    single = {name: (curves.recall, curve) for name, curve in zip(names, by_class, strict=True)}
    label = "Precision by recall"
    return (
        lines(mean, "recall", "precision", f"{label}, mean of the classes", unit=True),
        lines(single, "recall", "precision", f"{label}, by class", unit=True),
    )


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:25]}…"


def by_threshold(curve: ScoreCurve) -> Markup:
    """Precision, recall and F1 by threshold, with the best one marked."""
    best = curve.best
    with drawing("Precision, recall and F1 by score threshold") as drawn:
        places = _thinned(curve.threshold)
        named = {"F1": curve.f1, "precision": curve.precision, "recall": curve.recall}
        for number, (name, values) in enumerate(named.items()):
            drawn.axes.plot(
                curve.threshold[places],
                values[places],
                _DASHES[number],
                color=SERIES[number],
                label=name,
            )
        drawn.axes.axvline(best.threshold, color=SOFT, linewidth=1)
        drawn.axes.plot([best.threshold], [best.f1], "o", color=SERIES[0])
        drawn.axes.set(xlabel="score threshold", ylim=(0, 1.02), xlim=(0, 1))
        _legend(drawn.axes, 3)
    return drawn.svg


def calibration(measured: Calibration) -> Markup:
    """How often detections are right, by their score, beside how often they should be."""
    with drawing("How often detections are right, by score") as drawn:
        steps = (np.arange(len(measured.count)) + 0.5) / len(measured.count)
        drawn.axes.bar(
            steps, np.nan_to_num(measured.accuracy), width=0.088, color=SERIES[0], label="right"
        )
        drawn.axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1.2, label="as the score says")
        drawn.axes.set(xlabel="score", ylabel="part that is right", xlim=(0, 1), ylim=(0, 1.02))
        _legend(drawn.axes, 2)
    return drawn.svg


def bars(
    names: Sequence[str], values: Sequence[float], x: str, label: str, colour: int = 0
) -> Markup:
    """Horizontal bars with their values, the first on top."""
    names = [_short(name) for name in names]
    with drawing(label, height=0.75 + 0.36 * len(names)) as drawn:
        heights = np.nan_to_num(np.array(values, dtype=float))
        drawn.axes.barh(range(len(names)), heights, color=SERIES[colour], height=0.62)
        for place, (value, height) in enumerate(zip(values, heights, strict=True)):
            text = "–" if value != value else f"{value:.1f}"
            drawn.axes.annotate(
                text,
                (max(height, 0), place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        drawn.axes.set_yticks(range(len(names)), names)
        drawn.axes.tick_params(axis="y", length=0, labelcolor=INK)
        drawn.axes.invert_yaxis()
        drawn.axes.set_xlim(0, 1.15 * max(heights.max(initial=0), 1))
        drawn.axes.grid(axis="y", visible=False)
        drawn.axes.set_xlabel(x)
    return drawn.svg


def error_bars(costs: Sequence[ErrorCost]) -> Markup:
    """What each kind of error costs."""
    names, values = [one.name for one in costs], [one.cost for one in costs]
    return bars(names, values, "points of AP50 lost", "What each kind of error costs", colour=1)
