"""Histograms as SVG for the page."""

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from .plots import SERIES, drawing


def histogram(
    values: np.ndarray, x: str, y: str, label: str, *, log: bool = False, whole: bool = False
) -> Markup:
    """How often values occur.

    Args:
        values: (N,); those that are not finite, and with ``log`` those that are not positive, are
            left out.
        x, y: labels of the axes.
        label: of the whole plot, read to those who do not see it.
        log: steps and axis are logarithmic.
        whole: values are whole numbers; each has its bar as far as they are few.
    """
    values = values[np.isfinite(values)]
    values = values[values > 0] if log else values
    with drawing(label) as drawn:
        edges = _edges(values, log, whole)
        counts = np.histogram(values, edges)[0]
        drawn.axes.bar(
            edges[:-1], counts, np.diff(edges) * 0.94, align="edge", color=SERIES[0], linewidth=0
        )
        if log:
            drawn.axes.set_xscale("log")
            drawn.axes.set_xticks(_ticks(edges[0], edges[-1]))
            drawn.axes.xaxis.set_major_formatter(ScalarFormatter())
            drawn.axes.minorticks_off()
        elif whole:
            drawn.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        drawn.axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        drawn.axes.set(xlabel=x, ylabel=y, xlim=(edges[0], edges[-1]))
        drawn.axes.grid(axis="x", visible=False)
    return drawn.svg


def _edges(values: np.ndarray, log: bool, whole: bool) -> np.ndarray:
    """Borders of at most 40 steps."""
    if not len(values):
        return np.array([0.5, 1.5]) if log else np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    if log:
        return np.geomspace(low * 0.98, max(high * 1.02, low * 1.1), 31)
    if whole:
        step = max(1, -(-int(high - low + 1) // 40))
        return np.arange(np.floor(low), high + step + 0.5, step) - 0.5
    return np.linspace(low, high if high > low else low + 1, 31)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, … as far as they lie within; every other one if they are many."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    found = [factor * 10.0**power for power in powers for factor in steps]
    return [tick for tick in found if low <= tick <= high]
