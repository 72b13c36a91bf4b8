"""Losses of semantic segmentation.

Shape legend: N images of H x W pixels, K classes. A loss is called as ``loss(logits, labels,
ignore_value)`` with logits (N, K, H, W) and labels (N, H, W); pixels that are labelled
``ignore_value`` have no gradient.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AVERAGES = ("all", "counted")


class SegmentationLoss(nn.Module):
    """What heads call: a number for logits and labels.

    Args:
        weight: factor of the loss.

    Attributes:
        name: how the log calls it, after the head's prefix.
    """

    name = ""

    def __init__(self, *, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, logits: Tensor, labels: Tensor, ignore_value: int) -> Tensor:
        """The weighted loss of a batch."""
        raise NotImplementedError


class CrossEntropy(SegmentationLoss):
    """The mean of -log p(label).

    OpenMMLab's training, which the published figures come from, divides by the number of all
    pixels: an image of which half is ignored counts half (``average="all"``). Detectron2 and torch
    divide by the number of pixels that have a label (``average="counted"``).

    Args:
        weight: factor of the loss.
        class_weights: K factors by the pixel's class. The sum is divided by the weights' sum, to
            which, with "all", each pixel without a part in the loss adds 1.
        average: "all" or "counted".

    Raises:
        ValueError: an unknown ``average``.
    """

    name = "ce"
    class_weights: Tensor | None

    def __init__(
        self,
        *,
        weight: float = 1.0,
        class_weights: Sequence[float] | None = None,
        average: str = "all",
    ) -> None:
        super().__init__(weight=weight)
        if average not in AVERAGES:
            raise ValueError(f"average is '{average}': give 'all' or 'counted'")
        self.average = average
        weights = torch.tensor(list(class_weights)).float() if class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, ignore_value: int) -> Tensor:
        """0 if no pixel has a label.

        Raises:
            ValueError: the class weights are not as many as the classes.
        """
        if self.class_weights is not None and len(self.class_weights) != logits.shape[1]:
            raise ValueError(
                f"there are {len(self.class_weights)} class weights for {logits.shape[1]} classes"
            )
        surprise = F.cross_entropy(logits, labels, ignore_index=ignore_value, reduction="none")
        labelled = labels != ignore_value
        counted = self.counted(surprise.detach(), labelled)
        weights = counted.to(surprise.dtype)
        if self.class_weights is not None:
            weights = weights * self.class_weights[labels.where(labelled, 0)]
        total = weights.sum()
        if self.average == "all":
            total = total + (~counted).sum()
        return self.weight * (surprise * weights).sum() / total.clamp(min=1e-6)

    def counted(self, surprise: Tensor, labelled: Tensor) -> Tensor:
        """Which pixels (N, H, W) have a part in the loss.

        Args:
            surprise: -log p(label), (N, H, W); 0 where there is no label.
            labelled: where there is one.
        """
        return labelled


class OHEMCrossEntropy(CrossEntropy):
    """Cross entropy of the hard pixels alone: online hard example mining.

    Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining"
    (arXiv 1604.03540), for pixels. Hard is a pixel whose own class has a probability below
    ``threshold``; if these are few, the threshold rises until there are ``min_kept`` an image.

    Args:
        threshold: a probability; None: the ``min_kept`` hardest pixels an image and no others.
        min_kept: at least so many pixels an image on average, where there are so many.
        weight, class_weights, average: of :class:`CrossEntropy`; "counted" divides by the number
            of hard pixels.
    """

    name = "ohem"

    def __init__(
        self,
        *,
        threshold: float | None = 0.7,
        min_kept: int = 100000,
        weight: float = 1.0,
        class_weights: Sequence[float] | None = None,
        average: str = "all",
    ) -> None:
        super().__init__(weight=weight, class_weights=class_weights, average=average)
        if min_kept < 1 or (threshold is not None and not 0 < threshold <= 1):
            raise ValueError(
                f"OHEM with threshold {threshold} and min_kept {min_kept}: give a probability or "
                "None, and at least 1 pixel"
            )
        self.threshold, self.min_kept = threshold, min_kept

    def counted(self, surprise: Tensor, labelled: Tensor) -> Tensor:
        """The hard ones among the labelled pixels (N, H, W)."""
        least = self.min_kept * len(surprise)
        hardest_first = surprise[labelled].sort(descending=True).values
        if len(hardest_first) <= least:
            return labelled
        hard = surprise >= hardest_first[least - 1]
        if self.threshold is not None:
            hard = hard | (surprise > -math.log(self.threshold))
        return labelled & hard


class Dice(SegmentationLoss):
    """1 - Dice coefficient of probabilities and labels, whatever the size of a class.

    Milletari et al., "V-Net" (arXiv 1606.04797), section 3: ``2 sum(p t) / (sum(p^2) + sum(t^2))``
    with p the softmax and t 1 for the pixel's class and 0 for others, for each image.

    Args:
        weight: factor of the loss.
        per_class: a coefficient for each class that an image has, and their mean; otherwise one
            for all classes together.
        eps: added to both sums, against a division by zero.
    """

    name = "dice"

    def __init__(self, *, weight: float = 1.0, per_class: bool = True, eps: float = 1e-3) -> None:
        super().__init__(weight=weight)
        self.per_class, self.eps = per_class, eps

    def forward(self, logits: Tensor, labels: Tensor, ignore_value: int) -> Tensor:
        """0 if no pixel has a label."""
        labelled = (labels != ignore_value)[:, None]
        probabilities = logits.softmax(1) * labelled
        truth = torch.zeros_like(probabilities)
        truth.scatter_(1, labels.where(labelled[:, 0], 0)[:, None], labelled.to(truth.dtype))
        # (N, 1 or K, pixels): what a coefficient is computed of.
        parts = (2, 3) if self.per_class else (1, 2, 3)
        overlap = 2 * (probabilities * truth).sum(parts)
        sizes = truth.sum(parts)
        coefficient = overlap / (probabilities.square().sum(parts) + sizes + 2 * self.eps)
        present = (sizes > 0).to(coefficient.dtype)
        mean = ((1 - coefficient) * present).sum() / present.sum().clamp(min=1)
        return self.weight * mean
