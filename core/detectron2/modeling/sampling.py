"""Random subsets of labelled predictions, for losses with a fixed share of foreground."""

import torch
from torch import Tensor

from detectron2.layers.wrappers import nonzero_tuple  # noqa: F401

__all__ = ["subsample_labels"]


def _choose(candidates: Tensor, count: int) -> Tensor:
    """``count`` of the entries of ``candidates`` (K,) at random, without repetition."""
    return candidates[torch.randperm(len(candidates), device=candidates.device)[:count]]


def subsample_labels(
    labels: Tensor, num_samples: int, positive_fraction: float, bg_label: int
) -> tuple[Tensor, Tensor]:
    """Draw foreground and background samples.

    Args:
        labels: (N,) class labels; -1 is never drawn, ``bg_label`` is background, every other
            label is foreground.
        num_samples: how many to draw in all. Fewer come back where there are not enough.
        positive_fraction: the largest share of foreground. Background fills up the rest.
        bg_label: the label of the background.

    Returns:
        indices (int64) of the foreground samples, and those of the background samples.
    """
    background = labels == bg_label
    foreground = (~background & (labels != -1)).nonzero().squeeze(1)
    num_foreground = min(int(num_samples * positive_fraction), len(foreground))
    # The foreground draws first: a seed gives the same samples on every run.
    positive = _choose(foreground, num_foreground)
    return positive, _choose(background.nonzero().squeeze(1), num_samples - num_foreground)
