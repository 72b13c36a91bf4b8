"""Assignment of anchors and proposals to ground truth."""

from collections.abc import Sequence

import torch
from torch import Tensor

from detectron2.modeling.matcher import Matcher


class ReassigningMatcher(Matcher):
    """Matcher whose low-quality matches are good to some degree and change the match itself.

    Faster R-CNN (https://arxiv.org/abs/1506.01497, Sec. 3.1.2 (i)) makes the anchors with the
    highest IoU with a ground truth positive, however low it is. Detectron2's matcher does so and
    leaves each of them matched to the ground truth that it overlaps most. Here, as in OpenMMLab,
    the IoU has to reach a minimum, and the anchor is matched to the ground truth whose best anchor
    it is (to the last one, if there are several).
    """

    def __init__(
        self, thresholds: Sequence[float], labels: Sequence[int], min_low_quality: float = 0.3
    ) -> None:
        """
        Args:
            thresholds, labels: as for Matcher.
            min_low_quality: the least IoU of a low-quality match.
        """
        super().__init__(list(thresholds), list(labels), allow_low_quality_matches=False)
        self.min_low_quality = min_low_quality

    def __call__(self, match_quality_matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Match N predictions.

        Args:
            match_quality_matrix: (M, N) IoUs with M ground truths.

        Returns:
            matches (int64, N): the index of a ground truth; labels (int8, N).
        """
        matches, labels = super().__call__(match_quality_matrix)
        if match_quality_matrix.numel() == 0:
            return matches, labels
        best = match_quality_matrix.amax(dim=1, keepdim=True)
        is_best = (match_quality_matrix == best) & (best >= self.min_low_quality)
        chosen = is_best.any(dim=0)
        order = torch.arange(1, len(is_best) + 1, device=is_best.device)[:, None]
        last = (is_best * order).amax(dim=0) - 1
        return torch.where(chosen, last, matches), labels.masked_fill(chosen, 1)
