"""Feature pyramid network (Lin et al. 2017) and the levels on top of it."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from fvcore.nn.weight_init import c2_xavier_fill
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.layers import Conv2d, ShapeSpec, get_norm

from .backbone import Backbone, with_module_lists
from .build import BACKBONE_REGISTRY
from .resnet import build_resnet_backbone

__all__ = ["FPN", "build_resnet_fpn_backbone", "build_retinanet_resnet_fpn_backbone"]


class FPN(Backbone):
    """A bottom-up network and a top-down path that gives all its levels the same channels.

    The level of stride ``2**i`` is called ``p<i>``. Its convolutions are ``fpn_lateral<i>``
    (1x1, from the bottom-up feature) and ``fpn_output<i>`` (3x3).

    Args:
        bottom_up: the network below.
        in_features: its features to use, finest first; each of twice the stride of the last.
        out_channels: channels of every output level.
        norm: normalisation of the convolutions, see ``detectron2.layers.get_norm``; those
            without one have a bias.
        top_block: makes further, coarser levels from the feature that its ``in_feature`` names
            (of the bottom-up network or of the pyramid); has ``num_levels``.
        fuse_type: how lateral and top-down features join: ``sum`` or ``avg``.
        square_pad: pad images to a square of this side; 0 for no such padding.

    Raises:
        ValueError: no or unknown ``in_features``, strides that are not successive powers of 2,
            or an unknown ``fuse_type``.
    """

    def __init__(
        self, bottom_up: Backbone, in_features: Sequence[str], out_channels: int, norm: Any = "",
        top_block: nn.Module | None = None, fuse_type: str = "sum", square_pad: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if fuse_type not in ("sum", "avg"):
            raise ValueError(f"fuse_type of the FPN is '{fuse_type}'; choose 'sum' or 'avg'.")
        shapes = _input_shapes(bottom_up, in_features)
        levels = _levels([shape.stride for shape in shapes])
        self.in_features = tuple(in_features)
        # Plain lists, coarsest first: the way of the top-down path. The modules themselves
        # are registered by name.
        self.lateral_convs: list[nn.Module] = []
        self.output_convs: list[nn.Module] = []
        for level, shape in zip(levels, shapes, strict=True):
            lateral = _fpn_conv(shape.channels, out_channels, 1, norm)
            output = _fpn_conv(out_channels, out_channels, 3, norm)
            c2_xavier_fill(lateral)
            c2_xavier_fill(output)
            self.add_module(f"fpn_lateral{level}", lateral)
            self.add_module(f"fpn_output{level}", output)
            self.lateral_convs.insert(0, lateral)
            self.output_convs.insert(0, output)
        self.top_block: Any = top_block
        self.bottom_up = bottom_up

        self._size_divisibility = 2 ** levels[-1]
        if top_block is not None:
            extra: Any = top_block.num_levels
            levels += range(levels[-1] + 1, levels[-1] + 1 + extra)
        self._out_features = [f"p{level}" for level in levels]
        self._out_feature_strides = {f"p{level}": 2**level for level in levels}
        self._out_feature_channels = dict.fromkeys(self._out_features, out_channels)
        self._square_pad = square_pad
        self._fuse_type = fuse_type

    @property
    def size_divisibility(self) -> int:
        """The stride of the coarsest bottom-up feature in use."""
        return self._size_divisibility

    @property
    def padding_constraints(self) -> dict[str, int]:
        """``square_size``: the side of the square to pad to, or 0."""
        return {"square_size": self._square_pad}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Compute all levels.

        Args:
            x: what ``bottom_up`` takes, usually images (N, C, H, W) with height and width
                divisible by :attr:`size_divisibility`.

        Returns:
            ``p<i>`` -> (N, out_channels, H / 2**i, W / 2**i), finest first.
        """
        bottom_up = self.bottom_up(x)
        outputs: list[Tensor] = []
        merged = x
        # Plain loops without strict: TorchScript compiles them.
        for index, (lateral_conv, output_conv) in enumerate(
            zip(self.lateral_convs, self.output_convs)  # noqa: B905
        ):
            lateral = lateral_conv(bottom_up[self.in_features[-1 - index]])
            merged = lateral if index == 0 else self._fuse(lateral, merged)
            outputs.append(output_conv(merged))
        outputs.reverse()
        if self.top_block is not None:
            features: dict[str, Tensor] = {}
            for name, value in zip(self._out_features, outputs):  # noqa: B905
                features[name] = value
            features.update(bottom_up)
            source = self.top_block.in_feature
            if source not in features:
                raise KeyError(
                    f"The top block of the FPN works on '{source}', which is not among the"
                    f" features {list(features.keys())}."
                )
            outputs.extend(self.top_block(features[source]))
        return {name: value for name, value in zip(self._out_features, outputs)}  # noqa: B905, C416

    def __prepare_scriptable__(self) -> nn.Module:
        """The network as TorchScript compiles it: convolutions in module lists."""
        levels = [
            name.removeprefix("fpn_lateral")
            for name, _ in self.named_children()
            if name.startswith("fpn_lateral")
        ]
        names = {"lateral_convs": "fpn_lateral", "output_convs": "fpn_output"}
        return with_module_lists(
            self, {key: [prefix + level for level in levels] for key, prefix in names.items()}
        )

    def _fuse(self, lateral: Tensor, coarser: Tensor) -> Tensor:
        """Join a lateral feature and the merged feature one level above it."""
        # The target size and not a factor of 2: the same where sizes are divisible, and
        # right where rounding made the finer map one smaller.
        fused = lateral + F.interpolate(coarser, size=lateral.shape[-2:], mode="nearest")
        return fused / 2 if self._fuse_type == "avg" else fused


def _fpn_conv(in_channels: int | None, out_channels: int, kernel: int, norm: Any) -> Conv2d:
    return Conv2d(
        in_channels, out_channels, kernel_size=kernel, padding=kernel // 2,
        bias=norm == "", norm=get_norm(norm, out_channels),
    )  # fmt: skip


def _input_shapes(bottom_up: Backbone, in_features: Sequence[str]) -> list[ShapeSpec]:
    if not isinstance(bottom_up, Backbone):
        raise TypeError(f"bottom_up of the FPN is a {type(bottom_up)}, not a Backbone.")
    if not in_features:
        raise ValueError("in_features of the FPN is empty; name the bottom-up features to use.")
    shapes = bottom_up.output_shape()
    for name in in_features:
        if name not in shapes:
            raise ValueError(
                f"The bottom-up network of the FPN has no output '{name}';"
                f" its outputs are {', '.join(shapes)}."
            )
    return [shapes[name] for name in in_features]


def _levels(strides: Sequence[int | None]) -> list[int]:
    """The level ``log2(stride)`` of every stride, checked to be successive."""
    levels = [int(math.log2(stride or 1)) for stride in strides]
    expected = [2 ** (levels[0] + index) for index in range(len(levels))]
    if list(strides) != expected:
        raise ValueError(
            f"in_features of the FPN have strides {list(strides)}; they must be powers of 2,"
            " each twice the one before."
        )
    return levels


class LastLevelMaxPool(nn.Module):
    """Makes P6 from P5 by taking every second pixel (Lin et al. 2017, Sec. 4.1, footnote)."""

    def __init__(self) -> None:
        super().__init__()
        self.num_levels = 1
        self.in_feature = "p5"

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map P5 (N, C, H, W) to ``[P6]`` of half the size, rounded up."""
        return [F.max_pool2d(x, kernel_size=1, stride=2, padding=0)]


class LastLevelP6P7(nn.Module):
    """Makes P6 and P7 with strided 3x3 convolutions (RetinaNet, Lin et al. 2017b, Sec. 4).

    Args:
        in_channels: channels of the input.
        out_channels: channels of P6 and P7.
        in_feature: name of the input: ``res5``, or ``p5`` as in FCOS.
    """

    def __init__(self, in_channels: int, out_channels: int, in_feature: str = "res5") -> None:
        super().__init__()
        self.num_levels = 2
        self.in_feature = in_feature
        self.p6 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
        self.p7 = nn.Conv2d(out_channels, out_channels, kernel_size=3, stride=2, padding=1)
        for module in (self.p6, self.p7):
            c2_xavier_fill(module)

    def forward(self, c5: Tensor) -> list[Tensor]:
        """Map ``c5`` (N, in_channels, H, W) to ``[P6, P7]`` of a half and a quarter the size."""
        p6 = self.p6(c5)
        return [p6, self.p7(F.relu(p6))]


def _configured_fpn(cfg: CfgNode, bottom_up: Backbone, top_block: nn.Module) -> FPN:
    config = cfg.MODEL.FPN
    return FPN(
        bottom_up, config.IN_FEATURES, config.OUT_CHANNELS, norm=config.NORM,
        top_block=top_block, fuse_type=config.FUSE_TYPE,
    )  # fmt: skip


@BACKBONE_REGISTRY.register()
def build_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build a ResNet with an FPN and P6 by max-pooling, from ``MODEL.RESNETS`` and ``MODEL.FPN``.

    Args:
        cfg: the whole config.
        input_shape: channels of the images.
    """
    return _configured_fpn(cfg, build_resnet_backbone(cfg, input_shape), LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_retinanet_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build a ResNet with an FPN and convolutional P6 and P7 made from res5.

    Args:
        cfg: the whole config; ``MODEL.RESNETS.OUT_FEATURES`` must contain ``res5``.
        input_shape: channels of the images.
    """
    bottom_up = build_resnet_backbone(cfg, input_shape)
    shapes = bottom_up.output_shape()
    if "res5" not in shapes:
        raise ValueError("MODEL.RESNETS.OUT_FEATURES has no 'res5', which P6 is made from; add it.")
    top_block = LastLevelP6P7(shapes["res5"].channels or 0, cfg.MODEL.FPN.OUT_CHANNELS)
    return _configured_fpn(cfg, bottom_up, top_block)


def _assert_strides_are_log2_contiguous(strides: Sequence[int]) -> None:
    """Raise AssertionError unless each stride is twice the one before."""
    for finer, coarser in pairwise(strides):
        assert coarser == 2 * finer, f"Strides {coarser} {finer} are not log2 contiguous"
