"""Deformable convolution (arXiv:1703.06211) and its modulated form (arXiv:1811.11168)."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.utils import _pair
from torchvision.ops import deform_conv2d

from detectron2.layers.wrappers import _NewEmptyTensorOp  # noqa: F401
from detectron2.utils.develop import create_dummy_class, create_dummy_func  # noqa: F401
from detectron2.utils.unavailable import INTERNALS, unavailable

Size = int | tuple[int, int]
Activation = Callable[[torch.Tensor], torch.Tensor] | None


class _DeformableBase(nn.Module):
    """Parameters and settings of both forms; state-dict names ``weight``, ``bias``, ``norm.*``."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1,
        padding: Size = 0, dilation: Size = 1, groups: int = 1, deformable_groups: int = 1,
        bias: bool = False, norm: nn.Module | None = None, activation: Activation = None,
    ) -> None:  # fmt: skip
        """Makes the layer.

        Args:
            in_channels: of the input.
            out_channels: of the output.
            kernel_size: K, or (height, width).
            stride: as of a convolution, here and in the next three.
            padding: with zeros.
            dilation: distance between kernel positions.
            groups: of channels.
            deformable_groups: groups of input channels with offsets of their own.
            bias: whether to add one to the result.
            norm: applied to the result.
            activation: applied after ``norm``.

        Raises:
            ValueError: channels that are not divisible by the groups.
        """
        super().__init__()
        for label, channels, parts in (
            ("in_channels", in_channels, groups),
            ("out_channels", out_channels, groups),
        ):
            if channels % parts:
                raise ValueError(
                    f"{label}={channels} of a deformable convolution is not divisible by {parts} "
                    "groups"
                )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.padding, self.dilation = _pair(padding), _pair(dilation)
        self.groups, self.deformable_groups = groups, deformable_groups
        self.norm, self.activation = norm, activation
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels // groups, *self.kernel_size)
        )
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        if bias:
            self.bias = nn.Parameter(torch.zeros(out_channels))
        else:
            self.register_parameter("bias", None)

    def _convolve(
        self, x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Deformable convolution, normalisation, activation; ``x`` may be an empty batch."""
        if x.shape[1] % self.deformable_groups:
            raise ValueError(
                f"{x.shape[1]} channels cannot be divided into {self.deformable_groups} deformable "
                "groups of a convolution"
            )
        self._check_offset(offset)
        if len(x) == 0:
            # The operator refuses empty batches. An ordinary convolution of nothing has the same
            # result, and adding the empty offset keeps what made it in the graph.
            out = nn.functional.conv2d(
                x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
            )
            out = out + 0.0 * (offset.sum() + (0.0 if mask is None else mask.sum()))
        else:
            out = deform_conv2d(
                x,
                offset,
                self.weight,
                self.bias,
                stride=self.stride,
                padding=self.padding,
                dilation=self.dilation,
                mask=mask,
            )
        for step in (self.norm, self.activation):
            out = out if step is None else step(out)
        return out

    def _check_offset(self, offset: torch.Tensor) -> None:
        """Raises ValueError unless the offsets are made for this kernel and these groups."""
        wanted = 2 * self.deformable_groups * self.kernel_size[0] * self.kernel_size[1]
        if offset.dim() != 4 or offset.shape[1] != wanted:
            raise ValueError(
                f"this deformable convolution needs offsets with {wanted} channels (2 x deformable "
                f"groups x kernel height x width), but got shape {tuple(offset.shape)}"
            )

    def extra_repr(self) -> str:
        """The settings, as a convolution prints them."""
        names = "in_channels out_channels kernel_size stride padding dilation groups"
        settings = [f"{name}={getattr(self, name)}" for name in names.split()]
        settings.append(f"deformable_groups={self.deformable_groups}")
        return ", ".join([*settings, f"bias={self.bias is not None}"])


class DeformConv(_DeformableBase):
    """A convolution whose kernel positions are moved by predicted offsets, place by place."""

    def forward(self, x: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        """Convolves.

        Args:
            x: (N, C, H, W).
            offset: (N, 2 * deformable_groups * kernel height * kernel width, H', W'): for each
                group and kernel position the shift in y, then in x, in cells; H' and W' are the
                output's size.

        Returns:
            (N, out_channels, H', W').
        """
        return self._convolve(x, offset, None)


class ModulatedDeformConv(_DeformableBase):
    """A deformable convolution that also weighs each kernel position, place by place."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1,
        padding: Size = 0, dilation: Size = 1, groups: int = 1, deformable_groups: int = 1,
        bias: bool = True, norm: nn.Module | None = None, activation: Activation = None,
    ) -> None:  # fmt: skip
        """As :class:`DeformConv`, but with a bias unless it is declined."""
        shape = (in_channels, out_channels, kernel_size, stride, padding, dilation)
        super().__init__(*shape, groups, deformable_groups, bias, norm, activation)
        self.with_bias = bias
        # As they were given: upstream's too are pairs in the other class only.
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Convolves.

        Args:
            x: (N, C, H, W).
            offset: as for :class:`DeformConv`.
            mask: (N, deformable_groups * kernel height * kernel width, H', W'): the weight of each
                kernel position, usually between 0 and 1.

        Returns:
            (N, out_channels, H', W').
        """
        return self._convolve(x, offset, mask)


(_DeformConv, _ModulatedDeformConv, deform_conv, modulated_deform_conv) = unavailable(
    __name__, INTERNALS, "_DeformConv _ModulatedDeformConv deform_conv modulated_deform_conv"
)
