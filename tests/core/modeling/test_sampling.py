"""Sampling of foreground and background."""

import pytest
import torch

from detectron2.modeling.sampling import subsample_labels

LABELS = torch.tensor([3, -1, 0, 3, 1, 3, 3, 2, -1, 3])  # 3 is background


@pytest.mark.parametrize(
    ("num_samples", "fraction", "foreground", "background"),
    [
        (4, 0.5, 2, 2),
        (4, 0.25, 1, 3),
        (8, 0.5, 3, 5),  # not enough foreground: background fills up
        (100, 0.5, 3, 5),
        (4, 0.0, 0, 4),
        (3, 0.5, 1, 2),  # the share is rounded down
        (0, 0.5, 0, 0),
    ],
)
def test_counts(num_samples, fraction, foreground, background):
    positive, negative = subsample_labels(LABELS, num_samples, fraction, 3)
    assert (len(positive), len(negative)) == (foreground, background)
    assert set(positive.tolist()) <= {2, 4, 7}
    assert set(negative.tolist()) <= {0, 3, 5, 6, 9}
    assert len({*positive.tolist(), *negative.tolist()}) == foreground + background


def test_background_zero_and_no_candidates():
    positive, negative = subsample_labels(torch.tensor([-1, 0, 1, -1]), 2, 1.0, 0)
    assert (positive.tolist(), negative.tolist()) == ([2], [1])
    for labels in (torch.tensor([], dtype=torch.int64), torch.tensor([-1, -1])):
        positive, negative = subsample_labels(labels, 2, 0.5, 0)
        assert positive.shape == negative.shape == (0,)
        assert positive.dtype == torch.int64


def test_every_candidate_is_drawn_at_some_time():
    torch.manual_seed(0)
    draws = [subsample_labels(LABELS, 2, 0.5, 3) for _ in range(60)]
    assert {int(positive) for positive, _ in draws} == {2, 4, 7}
    assert {int(negative) for _, negative in draws} == {0, 3, 5, 6, 9}


def test_a_seed_repeats_the_draw():
    torch.manual_seed(3)
    first = subsample_labels(LABELS, 4, 0.5, 3)
    torch.manual_seed(3)
    second = subsample_labels(LABELS, 4, 0.5, 3)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
