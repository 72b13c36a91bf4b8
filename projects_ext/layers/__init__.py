"""Layers in pure PyTorch."""

from .batch_norm import FrozenStatisticsBatchNorm2d

__all__ = ["FrozenStatisticsBatchNorm2d"]
