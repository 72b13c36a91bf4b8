"""Atrous spatial pyramid pooling of DeepLabV3 (Chen et al., arXiv:1706.05587, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from fvcore.nn.weight_init import c2_xavier_fill
from torch import nn
from torch.nn import functional as F

from .batch_norm import get_norm
from .blocks import Activation, DepthwiseSeparableConv2d, Norm
from .wrappers import Conv2d


class ASPP(nn.Module):
    """A 1 x 1 convolution, three dilated 3 x 3 ones and image pooling, side by side, then merged.

    Args:
        in_channels, out_channels: of the input and of every part.
        dilations: three.
        norm: of all convolutions but the one after the pooling, see :func:`get_norm`.
        activation: of all convolutions.
        pool_kernel_size: (height, width) of the pooling, of which the input's size has to be a
            multiple; by default the whole image is pooled.
        dropout: rate of the dropout on the output.
        use_depthwise_separable_conv: for the dilated convolutions, as in DeepLabV3+.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dilations: Sequence[int],
        *,
        norm: Norm,
        activation: Activation,
        pool_kernel_size: Sequence[int] | None = None,
        dropout: float = 0.0,
        use_depthwise_separable_conv: bool = False,
    ) -> None:
        super().__init__()
        assert len(dilations) == 3, f"ASPP takes 3 dilations, not {len(dilations)}."
        self.pool_kernel_size, self.dropout = pool_kernel_size, dropout

        def conv(channels: int, kernel_size: int = 1, dilation: int = 1) -> nn.Module:
            options: dict[str, Any] = {
                "kernel_size": kernel_size,
                "padding": dilation * (kernel_size // 2),
                "dilation": dilation,
            }
            if kernel_size > 1 and use_depthwise_separable_conv:
                own = [deepcopy(activation) for _ in range(2)]
                options |= {"norm1": norm, "norm2": norm}
                options |= {"activation1": own[0], "activation2": own[1]}
                return DepthwiseSeparableConv2d(channels, out_channels, **options)
            options |= {"bias": norm == "", "norm": get_norm(norm, out_channels)}
            layer = Conv2d(channels, out_channels, **options, activation=deepcopy(activation))
            c2_xavier_fill(layer)
            return layer

        # Without a norm, which a single pooled pixel would make meaningless.
        pooled = Conv2d(in_channels, out_channels, 1, activation=deepcopy(activation))
        c2_xavier_fill(pooled)
        window: nn.Module = nn.AdaptiveAvgPool2d(1)
        if pool_kernel_size is not None:
            height, width = pool_kernel_size
            window = nn.AvgPool2d((height, width), stride=1)
        parts = [conv(in_channels), *(conv(in_channels, 3, dilation) for dilation in dilations)]
        self.convs = nn.ModuleList([*parts, nn.Sequential(window, pooled)])
        self.project = conv(len(self.convs) * out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W).

        Raises:
            ValueError: the size is not a multiple of ``pool_kernel_size``.
        """
        size = x.shape[-2:]
        window = self.pool_kernel_size
        if window is not None and (size[0] % window[0] or size[1] % window[1]):
            raise ValueError(f"The input size {tuple(size)} is not a multiple of {tuple(window)}.")
        parts = [part(x) for part in self.convs]
        parts[-1] = F.interpolate(parts[-1], size=size, mode="bilinear", align_corners=False)
        merged = self.project(torch.cat(parts, dim=1))
        return F.dropout(merged, self.dropout, training=self.training)
