"""Low-quality matches that have to be of some quality and change the assignment."""

import pytest
import torch
from torch import Tensor

from projects_ext.modeling import ReassigningMatcher


def one_by_one(iou: Tensor, low: float, high: float, least: float) -> tuple[list[int], list[int]]:
    """The rule, spelled out: thresholds first, then each ground truth takes its best ones."""
    matches, labels = [], []
    for column in iou.T.tolist():
        best = max(column)
        matches.append(column.index(best))
        labels.append(0 if best < low else 1 if best >= high else -1)
    for truth, row in enumerate(iou.tolist()):
        for prediction, value in enumerate(row):
            if value == max(row) and value >= least:
                matches[prediction], labels[prediction] = truth, 1
    return matches, labels


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_the_rule_spelled_out(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Few different values, none on a threshold: ground truths share their best predictions.
    iou = (torch.randint(0, 11, (6, 15), generator=generator) + 0.5) / 11
    iou = iou * (0.35 + 0.65 * (seed % 2))
    matches, labels = ReassigningMatcher([0.3, 0.7], [0, -1, 1], min_low_quality=0.3)(iou)
    expected = one_by_one(iou, 0.3, 0.7, 0.3)
    assert (matches.tolist(), labels.tolist()) == expected
    assert labels.dtype == torch.int8


def test_the_last_ground_truth_wins_and_poor_ones_win_nothing() -> None:
    iou = torch.tensor([[0.9, 0.2, 0.0], [0.8, 0.1, 0.0], [0.0, 0.0, 0.2]])
    matches, labels = ReassigningMatcher([0.3, 0.7], [0, -1, 1], min_low_quality=0.3)(iou)
    assert matches.tolist()[0] == 1
    assert labels.tolist() == [1, 0, 0]


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_nothing_to_match(shape: tuple[int, int]) -> None:
    matches, labels = ReassigningMatcher([0.5], [0, 1], min_low_quality=0.5)(torch.zeros(shape))
    assert matches.tolist() == labels.tolist() == [0] * shape[1]
