"""Layers in pure PyTorch."""

from .batch_norm import FrozenStatisticsBatchNorm2d
from .context_block import ContextBlock
from .generalized_attention import GeneralizedAttention
from .roi_align import pixel_rows, roi_align_rows, rows_pay

__all__ = [
    "ContextBlock",
    "FrozenStatisticsBatchNorm2d",
    "GeneralizedAttention",
    "pixel_rows",
    "roi_align_rows",
    "rows_pay",
]
