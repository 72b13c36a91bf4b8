"""Blocks of convolutional networks."""

from collections.abc import Callable

import fvcore.nn.weight_init as weight_init
import torch
from torch import nn

from .batch_norm import FrozenBatchNorm2d, get_norm
from .wrappers import Conv2d

Norm = str | Callable[[int], nn.Module] | None
Activation = Callable[[torch.Tensor], torch.Tensor] | None


class CNNBlockBase(nn.Module):
    """A block that says how it changes its input's channels and size.

    Subclasses write ``forward``: (N, in_channels, H, W) to (N, out_channels, H / stride, W /
    stride).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        """Keeps the three numbers as attributes."""
        super().__init__()
        self.stride = stride
        self.out_channels = out_channels
        self.in_channels = in_channels

    def freeze(self) -> "CNNBlockBase":
        """Stops training the block: no gradients for parameters, batch norms become frozen ones.

        Returns:
            The block itself.
        """
        self.requires_grad_(False)
        FrozenBatchNorm2d.convert_frozen_batchnorm(self)
        return self


class DepthwiseSeparableConv2d(nn.Module):
    """A convolution of each channel alone, then a 1 x 1 convolution across channels (Xception)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        padding: int = 1,
        dilation: int = 1,
        *,
        norm1: Norm = None,
        norm2: Norm = None,
        activation1: Activation = None,
        activation2: Activation = None,
    ) -> None:
        """Makes both convolutions.

        Args:
            in_channels: of the input.
            out_channels: of the output.
            kernel_size: of the depthwise convolution.
            padding: of the depthwise convolution.
            dilation: of the depthwise convolution.
            norm1: after the depthwise convolution, as for :func:`get_norm`.
            norm2: after the 1 x 1 convolution, as for :func:`get_norm`.
            activation1: after ``norm1``.
            activation2: after ``norm2``.
        """
        super().__init__()
        # A norm has an offset of its own: no bias beside it.
        first_norm, second_norm = get_norm(norm1, in_channels), get_norm(norm2, out_channels)
        stride = 1
        self.depthwise = Conv2d(
            *(in_channels, in_channels, kernel_size, stride, padding, dilation, in_channels),
            bias=first_norm is None,
            norm=first_norm,
            activation=activation1,
        )
        self.pointwise = Conv2d(
            *(in_channels, out_channels, 1),
            bias=second_norm is None,
            norm=second_norm,
            activation=activation2,
        )
        for convolution in (self.depthwise, self.pointwise):
            weight_init.c2_msra_fill(convolution)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies both convolutions to ``x`` (N, C, H, W)."""
        return self.pointwise(self.depthwise(x))
