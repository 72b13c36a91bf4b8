"""The stem and the residual blocks of ResNet, ResNeXt and deformable ResNet.

Shapes: a block maps (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride). Every
convolution carries its normalisation with it (``conv1.norm`` in the state dict).
"""

from typing import Any

import torch
import torch.nn.functional as F
from fvcore.nn.weight_init import c2_msra_fill
from torch import Tensor, nn

from detectron2.layers import CNNBlockBase, Conv2d, DeformConv, ModulatedDeformConv, get_norm

Norm = Any  # what `get_norm` takes: a name, a callable, "" or None


def _normed_conv(
    in_channels: int, out_channels: int, kernel: int, norm: Norm, **kwargs: Any
) -> Any:
    """A convolution without bias that keeps the size (at stride 1), and its normalisation."""
    dilation = kwargs.get("dilation", 1)
    conv_class = kwargs.pop("conv_class", Conv2d)
    kwargs["padding"] = dilation * (kernel // 2)
    kwargs["norm"] = get_norm(norm, out_channels)
    return conv_class(in_channels, out_channels, kernel_size=kernel, bias=False, **kwargs)


def _msra_init(*convs: nn.Module | None) -> None:
    for conv in convs:
        if conv is not None:
            c2_msra_fill(conv)


class _ResidualBlock(CNNBlockBase):
    """What all residual blocks share: ``relu(branch(x) + shortcut(x))``.

    The shortcut is the identity, or a strided 1x1 convolution where the channels change.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: Norm) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = _normed_conv(in_channels, out_channels, 1, norm, stride=stride)

    def _branch(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to ``x`` (N, in_channels, H, W)."""
        # In place: a large map more for each block costs time as well as memory.
        branch = self._branch(x)
        if self.shortcut is not None:
            x = self.shortcut(x)
        branch += x
        return F.relu_(branch)


class BasicBlock(_ResidualBlock):
    """Two 3x3 convolutions: the block of ResNet-18 and -34 (He et al. 2016, Fig. 5 left).

    Args:
        in_channels, out_channels: channels of input and output.
        stride: stride of the first convolution and of the shortcut.
        norm: normalisation of every convolution, see ``detectron2.layers.get_norm``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, norm: Norm = "BN"
    ) -> None:
        super().__init__(in_channels, out_channels, stride, norm)
        self.conv1 = _normed_conv(in_channels, out_channels, 3, norm, stride=stride)
        self.conv2 = _normed_conv(out_channels, out_channels, 3, norm)
        _msra_init(self.conv1, self.conv2, self.shortcut)

    def _branch(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu_(self.conv1(x)))


class _BottleneckBase(_ResidualBlock):
    """1x1 down, a 3x3 of whatever kind the subclass puts into ``conv2``, 1x1 up."""

    def _middle(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _branch(self, x: Tensor) -> Tensor:
        # Not declared in the class: TorchScript would read it.
        squeezed = F.relu_(self.conv1(x))  # type: ignore[operator]
        return self.conv3(F.relu_(self._middle(squeezed)))  # type: ignore[operator]


class BottleneckBlock(_BottleneckBase):
    """1x1, 3x3, 1x1 convolutions: the block of ResNet-50 to -152 (He et al. 2016, Fig. 5 right).

    Args:
        in_channels, out_channels: channels of input and output.
        bottleneck_channels: channels of the 3x3 convolution.
        stride: stride of the block; see ``stride_in_1x1``.
        num_groups: groups of the 3x3 convolution (over 1: ResNeXt).
        norm: normalisation of every convolution, see ``detectron2.layers.get_norm``.
        stride_in_1x1: whether the first 1x1 convolution has the stride (as in the original
            Caffe models) or the 3x3 one (as in torchvision's).
        dilation: dilation of the 3x3 convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, bottleneck_channels: int,
        stride: int = 1, num_groups: int = 1, norm: Norm = "BN",
        stride_in_1x1: bool = False, dilation: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, stride, norm)
        width = bottleneck_channels
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = _normed_conv(in_channels, width, 1, norm, stride=first)
        self.conv2 = _normed_conv(
            width, width, 3, norm, stride=second, groups=num_groups, dilation=dilation
        )
        self.conv3 = _normed_conv(width, out_channels, 1, norm)
        _msra_init(self.conv1, self.conv2, self.conv3, self.shortcut)

    def _middle(self, x: Tensor) -> Tensor:
        return self.conv2(x)


class DeformBottleneckBlock(_BottleneckBase):
    """A bottleneck whose 3x3 convolution is deformable (Dai et al. 2017; Zhu et al. 2019).

    The offsets come from ``conv2_offset``, which starts at zero, so that the block starts as an
    ordinary bottleneck (with all modulation factors at 0.5 in the modulated form).

    Args:
        deform_modulated: whether every sample is also weighed (Deformable ConvNets v2).
        deform_num_groups: groups of channels with offsets of their own.

    The other arguments are those of :class:`BottleneckBlock`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, bottleneck_channels: int,
        stride: int = 1, num_groups: int = 1, norm: Norm = "BN",
        stride_in_1x1: bool = False, dilation: int = 1,
        deform_modulated: bool = False, deform_num_groups: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, stride, norm)
        self.deform_modulated = deform_modulated
        width = bottleneck_channels
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = _normed_conv(in_channels, width, 1, norm, stride=first)
        # Each of the nine samples has an offset (y, x) and, when modulated, a factor.
        values_per_sample = 3 if deform_modulated else 2
        self.conv2_offset = Conv2d(
            width, values_per_sample * 9 * deform_num_groups,
            kernel_size=3, stride=second, padding=dilation, dilation=dilation,
        )  # fmt: skip
        self.conv2 = _normed_conv(
            width, width, 3, norm, stride=second, groups=num_groups, dilation=dilation,
            deformable_groups=deform_num_groups,
            conv_class=ModulatedDeformConv if deform_modulated else DeformConv,
        )  # fmt: skip
        self.conv3 = _normed_conv(width, out_channels, 1, norm)
        _msra_init(self.conv1, self.conv2, self.conv3, self.shortcut)
        for parameter in self.conv2_offset.parameters():
            nn.init.zeros_(parameter)

    def _middle(self, x: Tensor) -> Tensor:
        offset = self.conv2_offset(x)
        if not self.deform_modulated:
            return self.conv2(x, offset)
        split = offset.shape[1] // 3 * 2
        return self.conv2(x, offset[:, :split], torch.sigmoid(offset[:, split:]))


class BasicStem(CNNBlockBase):
    """The first layer of ResNet: a 7x7 convolution and a max-pooling, together of stride 4.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the convolution.
        norm: its normalisation, see ``detectron2.layers.get_norm``.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 64, norm: Norm = "BN") -> None:
        super().__init__(in_channels, out_channels, 4)
        self.in_channels = in_channels
        self.conv1 = _normed_conv(in_channels, out_channels, 7, norm, stride=2)
        _msra_init(self.conv1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, in_channels, H, W) to (N, out_channels, H / 4, W / 4)."""
        return F.max_pool2d(F.relu_(self.conv1(x)), kernel_size=3, stride=2, padding=1)
