"""Layers in pure PyTorch."""

from .aligned_bilinear import aligned_bilinear
from .batch_norm import FrozenStatisticsBatchNorm2d
from .carafe import CARAFEUpsample, carafe
from .context_block import ContextBlock
from .dynamic_mask import cell_centers, dynamic_masks
from .generalized_attention import GeneralizedAttention
from .roi_align import pixel_rows, roi_align_rows, rows_pay
from .spectral_conv import SmallMapConv2d

__all__ = [
    "CARAFEUpsample",
    "ContextBlock",
    "FrozenStatisticsBatchNorm2d",
    "GeneralizedAttention",
    "SmallMapConv2d",
    "aligned_bilinear",
    "carafe",
    "cell_centers",
    "dynamic_masks",
    "pixel_rows",
    "roi_align_rows",
    "rows_pay",
]
