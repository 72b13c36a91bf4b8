"""Batch normalisation with fixed statistics (Ioffe & Szegedy, https://arxiv.org/abs/1502.03167)."""

from typing import Any

from torch import nn


class FrozenStatisticsBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm whose running statistics stay as they were loaded, while scale and shift train.

    In between Detectron2's FrozenBN, which trains nothing, and BN, which normalises with the
    statistics of the batch: with few images on a GPU these are poor, yet scale and shift can learn.
    State dict and constructor are those of :class:`torch.nn.BatchNorm2d`; frozen stages turn it
    into FrozenBN as they do BN.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes the arguments of :class:`torch.nn.BatchNorm2d`."""
        super().__init__(*args, **kwargs)
        self.train(False)

    def train(self, mode: bool = True) -> "FrozenStatisticsBatchNorm2d":
        """Keep normalising with the running statistics, whatever the mode."""
        super().train(False)
        return self
