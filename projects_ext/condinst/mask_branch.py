"""The mask branch of CondInst, and the semantic one beside it (arXiv 2003.05664, section 3.2)."""

import math
from typing import Any

from fvcore.nn.weight_init import c2_xavier_fill
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from projects_ext.layers import aligned_bilinear


def conv_block(in_channels: int, out_channels: int, norm: Any) -> Conv2d:
    """A 3x3 convolution with norm and ReLU."""
    block = Conv2d(
        in_channels,
        out_channels,
        3,
        padding=1,
        bias=not norm,
        norm=get_norm(norm, out_channels),
        activation=nn.ReLU(inplace=True),
    )
    c2_xavier_fill(block)
    return block


def fill_bias(layer: nn.Conv2d, value: float) -> None:
    """Start a convolution's biases from a constant."""
    assert layer.bias is not None
    nn.init.constant_(layer.bias, value)


class MaskBranch(nn.Module):
    """From the finest pyramid levels to the mask features that all instances share.

    A convolution on each level, their sum at the finest one, more convolutions, and a last one.

    Args:
        input_shape: the levels, finest first.
        channels: of the convolutions.
        num_convs: after the sum.
        out_channels: mask features.
        norm: of the convolutions, see ``detectron2.layers.get_norm``.
    """

    @configurable
    def __init__(
        self,
        *,
        input_shape: list[ShapeSpec],
        channels: int = 128,
        num_convs: int = 4,
        out_channels: int = 8,
        norm: Any = "BN",
    ) -> None:
        super().__init__()
        strides = [shape.stride or 1 for shape in input_shape]
        self.stride = strides[0]
        self.factors = [stride // self.stride for stride in strides]
        self.out_channels = out_channels
        self.levels = nn.ModuleList(
            conv_block(shape.channels or 0, channels, norm) for shape in input_shape
        )
        self.tower = nn.Sequential(
            *(conv_block(channels, channels, norm) for _ in range(num_convs))
        )
        self.predictor = nn.Conv2d(channels, out_channels, 1)
        nn.init.kaiming_uniform_(self.predictor.weight, mode="fan_out", nonlinearity="relu")
        fill_bias(self.predictor, 0.0)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: list[ShapeSpec]) -> dict:
        """The arguments that ``cfg.MODEL.CONDINST.MASK_BRANCH`` holds."""
        options = cfg.MODEL.CONDINST.MASK_BRANCH
        return {
            "input_shape": input_shape,
            "channels": options.CHANNELS,
            "num_convs": options.NUM_CONVS,
            "out_channels": options.OUT_CHANNELS,
            "norm": options.NORM,
        }

    def forward(self, features: list[Tensor]) -> Tensor:
        """Mask features (N, out_channels, H, W), as large as the first of ``features``."""
        total: Tensor | None = None
        for feature, level, factor in zip(features, self.levels, self.factors, strict=True):
            part = aligned_bilinear(level(feature), factor)
            total = part if total is None else total + part
        return self.predictor(self.tower(total))


class SemanticBranch(nn.Module):
    """Classes of cells, learnt beside the masks and not used afterwards.

    Args:
        input_shape: the level that it works on.
        num_classes: K.
        channels: of its two convolutions.
        norm: of them.
        prior_prob: what it answers before training.
    """

    @configurable
    def __init__(
        self,
        *,
        input_shape: ShapeSpec,
        num_classes: int,
        channels: int = 128,
        norm: Any = "BN",
        prior_prob: float = 0.01,
    ) -> None:
        super().__init__()
        self.stride = input_shape.stride or 1
        self.convs = nn.Sequential(
            conv_block(input_shape.channels or 0, channels, norm),
            conv_block(channels, channels, norm),
        )
        self.predictor = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.predictor.weight, std=0.01)
        fill_bias(self.predictor, -math.log((1 - prior_prob) / prior_prob))

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        """The arguments that ``cfg.MODEL.CONDINST`` holds."""
        options = cfg.MODEL.CONDINST
        return {
            "input_shape": input_shape,
            "num_classes": options.NUM_CLASSES,
            "channels": options.MASK_BRANCH.CHANNELS,
            "norm": options.MASK_BRANCH.NORM,
            "prior_prob": options.PRIOR_PROB,
        }

    def forward(self, feature: Tensor) -> Tensor:
        """Logits (N, K, H, W), as large as the feature map (N, C, H, W)."""
        return self.predictor(self.convs(feature))
