"""Histograms of any values are drawn."""

import numpy as np
import pytest

from projects_ext.report.histograms import _edges, _ticks, histogram


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "values", [[], [5], [5, 5], [0, 3, 700], [np.nan, 2], [1e-3, 1e5]], ids=str
)
def test_any_values(values: list[float], log: bool, whole: bool) -> None:
    drawn = histogram(np.array(values, dtype=float), "x", "y", "what", log=log, whole=whole)
    assert drawn.startswith("<svg ")
    assert 'aria-label="what"' in drawn


def test_whole_numbers_have_a_bar_each() -> None:
    assert _edges(np.array([0, 1, 3.0]), log=False, whole=True).tolist() == [
        -0.5,
        0.5,
        1.5,
        2.5,
        3.5,
    ]
    assert len(_edges(np.arange(1000.0), log=False, whole=True)) <= 42


def test_ticks() -> None:
    assert _ticks(1.5, 60) == [2, 5, 10, 20, 50]
