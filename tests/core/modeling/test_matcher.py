"""Matcher: the reference's values, interval borders, low-quality matches, no ground truth."""

import numpy as np
import pytest
import torch

from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, pairwise_iou
from tests.golden_files import load_golden

BAD_INPUT = (AssertionError, ValueError)


@pytest.mark.parametrize("low_quality", [False, True])
def test_golden(low_quality):
    golden = load_golden("d2_components")
    truth, candidates, iou = (
        torch.from_numpy(golden[f"matcher.{name}"]) for name in ("gt", "candidates", "iou")
    )
    torch.testing.assert_close(pairwise_iou(Boxes(truth), Boxes(candidates)), iou)
    matches, labels = Matcher([0.3, 0.7], [0, -1, 1], low_quality)(iou)
    assert matches.dtype == torch.int64
    assert labels.dtype == torch.int8
    np.testing.assert_array_equal(matches, golden[f"matcher.matches.low{int(low_quality)}"])
    np.testing.assert_array_equal(labels, golden[f"matcher.labels.low{int(low_quality)}"])


def test_intervals_are_closed_below():
    quality = torch.tensor([[0.0, 0.2999, 0.3, 0.69, 0.7, 1.0]])
    _, labels = Matcher([0.3, 0.7], [0, -1, 1])(quality)
    assert labels.tolist() == [0, 0, -1, -1, 1, 1]


def test_low_quality_matches_keep_ties_and_the_best_index():
    quality = torch.tensor([[0.2, 0.2, 0.1, 0.0], [0.0, 0.4, 0.9, 0.05]])
    plain, labels = Matcher([0.5], [0, 1])(quality)
    assert labels.tolist() == [0, 0, 1, 0]
    matches, labels = Matcher([0.5], [0, 1], allow_low_quality_matches=True)(quality)
    # Prediction 1 is the first truth's best but belongs to the second, for which it is better.
    assert labels.tolist() == [1, 1, 1, 0]
    assert matches.tolist() == plain.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("low_quality", [False, True])
def test_without_ground_truth_and_without_predictions(low_quality):
    matcher = Matcher([0.3, 0.7], [-1, 0, 1], allow_low_quality_matches=low_quality)
    matches, labels = matcher(torch.zeros(0, 4))
    assert matches.tolist() == [0] * 4
    assert labels.tolist() == [-1] * 4
    matches, labels = matcher(torch.zeros(3, 0))
    assert matches.shape == labels.shape == (0,)
    assert (matches.dtype, labels.dtype) == (torch.int64, torch.int8)


@pytest.mark.parametrize(
    ("thresholds", "labels"),
    [([0.7, 0.3], [0, -1, 1]), ([0.3], [0, -1, 1]), ([0.3], [0, 5]), ([-0.3], [0, 1])],
)
def test_bad_arguments(thresholds, labels):
    with pytest.raises(BAD_INPUT):
        Matcher(thresholds, labels)


@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_bad_qualities(value):
    with pytest.raises(BAD_INPUT):
        Matcher([0.5], [0, 1])(torch.tensor([[0.3, value]]))
    with pytest.raises(BAD_INPUT):
        Matcher([0.5], [0, 1])(torch.zeros(3))
