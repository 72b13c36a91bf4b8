"""Which ground truth, if any, every prediction or anchor belongs to."""

import math

import torch
from torch import Tensor

from detectron2.layers.wrappers import nonzero_tuple  # noqa: F401


class Matcher:
    """Match every prediction to its best ground truth and label it by how good that is.

    Args:
        thresholds: increasing positive numbers that divide match qualities (IoUs) into intervals,
            each closed below and open above.
        labels: the label of every interval, one more than there are thresholds: -1 to ignore,
            0 for background, 1 for foreground.
        allow_low_quality_matches: label also the best predictions of each ground truth as
            foreground, however low their quality (Ren et al. 2015, Sec. 3.1.2 (i)).

    Raises:
        ValueError: thresholds or labels that break these rules.
    """

    def __init__(
        self, thresholds: list[float], labels: list[int], allow_low_quality_matches: bool = False
    ) -> None:
        inner = [float(x) for x in thresholds]
        if len(inner) == 0 or inner[0] <= 0 or inner != sorted(inner):
            raise ValueError(f"Thresholds of the matcher are {inner}, not positive and increasing.")
        known = [x in (-1, 0, 1) for x in labels]
        if len(labels) != len(inner) + 1 or not all(known):
            raise ValueError(
                f"Labels of the matcher are {list(labels)}; {len(inner)} thresholds need"
                f" {len(inner) + 1} labels out of -1, 0 and 1."
            )
        self.thresholds = [-math.inf] + inner + [math.inf]  # noqa: RUF005
        self.labels = [int(x) for x in labels]
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, match_quality_matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Match N predictions.

        Args:
            match_quality_matrix: (M, N) qualities, none negative; M ground truths.

        Returns:
            matches (int64, N): the index of the best ground truth, 0 if there is none;
            labels (int8, N): the label of the quality's interval. Without ground truth, all
            have the label of the lowest interval.
        """
        if match_quality_matrix.dim() != 2:
            raise ValueError(
                f"Match qualities have shape {list(match_quality_matrix.shape)}, not (M, N)."
            )
        device = match_quality_matrix.device
        labels = torch.tensor(self.labels, dtype=torch.int8, device=device)
        if match_quality_matrix.numel() == 0:
            count = match_quality_matrix.shape[1]
            matches = torch.zeros(count, dtype=torch.int64, device=device)
            return matches, labels[:1].repeat(count)
        # Written so that NaN is caught as well.
        if not bool((match_quality_matrix >= 0).all()):
            raise ValueError("A match quality is negative or NaN: are all boxes valid?")
        best, matches = match_quality_matrix.max(dim=0)
        boundaries = torch.tensor(self.thresholds[1:-1], dtype=best.dtype, device=device)
        match_labels = labels[torch.bucketize(best, boundaries, right=True)]
        if self.allow_low_quality_matches:
            self.set_low_quality_matches_(match_labels, match_quality_matrix)
        return matches, match_labels

    def set_low_quality_matches_(self, match_labels: Tensor, match_quality_matrix: Tensor) -> None:
        """Set to 1, in place, the labels of the predictions that are best for a ground truth.

        All predictions that share the highest quality of a ground truth count. The matches stay:
        such a prediction can belong to another ground truth, for which it is better still.

        Args:
            match_labels: (N,) labels to change.
            match_quality_matrix: (M, N) qualities.
        """
        is_best = match_quality_matrix == match_quality_matrix.amax(dim=1, keepdim=True)
        match_labels.masked_fill_(is_best.any(dim=0), 1)
