"""Box heads: what lies between pooled region features and the box predictor."""

from collections.abc import Sequence
from typing import Any

import torch
from fvcore.nn.weight_init import c2_msra_fill, c2_xavier_fill
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.utils.registry import Registry

ROI_BOX_HEAD_REGISTRY = Registry("ROI_BOX_HEAD")
ROI_BOX_HEAD_REGISTRY.__doc__ = """
Heads that compute features for box prediction. An entry is called as ``entry(cfg, input_shape)``
and has a property ``output_shape``.
"""


def build_box_head(cfg: CfgNode, input_shape: ShapeSpec) -> nn.Module:
    """The head that ``cfg.MODEL.ROI_BOX_HEAD.NAME`` asks for, for regions of ``input_shape``."""
    return ROI_BOX_HEAD_REGISTRY.get(cfg.MODEL.ROI_BOX_HEAD.NAME)(cfg, input_shape)


@ROI_BOX_HEAD_REGISTRY.register()
class FastRCNNConvFCHead(nn.Sequential):
    """3x3 convolutions, then fully connected layers, each followed by a ReLU.

    "2 FC" is the head of Lin et al., "Feature Pyramid Networks", section 4.2; "4 conv + 1 FC" that
    of Wu and He, "Group Normalization". Layers are named ``conv1``, ``conv2``, ..., ``fc1``, ...
    """

    @configurable
    def __init__(
        self, input_shape: ShapeSpec, *, conv_dims: Sequence[int], fc_dims: Sequence[int],
        conv_norm: Any = "",
    ) -> None:  # fmt: skip
        """
        Args:
            input_shape: channels, height and width of a pooled region.
            conv_dims: output channels of each convolution.
            fc_dims: output size of each fully connected layer.
            conv_norm: norm of the convolutions, see :func:`detectron2.layers.get_norm`.

        Raises:
            ValueError: there is no layer at all, or the region's size is not known.
        """
        super().__init__()
        if not conv_dims and not fc_dims:
            raise ValueError("A box head needs at least one layer in conv_dims or fc_dims.")
        channels, height, width = input_shape.channels, input_shape.height, input_shape.width
        if channels is None or height is None or width is None:
            raise ValueError(f"A box head needs channels, height and width, not {input_shape}.")
        self.conv_norm_relus: list[nn.Module] = []
        self.fcs: list[nn.Linear] = []
        for number, dim in enumerate(conv_dims, start=1):
            block = Conv2d(
                channels, dim, 3, padding=1, bias=not conv_norm, norm=get_norm(conv_norm, dim),
                activation=nn.ReLU(),
            )  # fmt: skip
            self.add_module(f"conv{number}", block)
            self.conv_norm_relus.append(block)
            channels = dim
        self._output = ShapeSpec(channels=channels, height=height, width=width)
        size = channels * height * width
        for number, dim in enumerate(fc_dims, start=1):
            if number == 1:
                self.add_module("flatten", nn.Flatten())
            layer = nn.Linear(size, dim)
            self.add_module(f"fc{number}", layer)
            self.add_module(f"fc_relu{number}", nn.ReLU())
            self.fcs.append(layer)
            size = dim
            self._output = ShapeSpec(channels=dim)
        # After all layers are made: a seed then gives the weights that it gives in Detectron2.
        for convolution in self.conv_norm_relus:
            c2_msra_fill(convolution)
        for linear in self.fcs:
            c2_xavier_fill(linear)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL.ROI_BOX_HEAD``."""
        head = cfg.MODEL.ROI_BOX_HEAD
        return {
            "input_shape": input_shape,
            "conv_norm": head.NORM,
            "conv_dims": [head.CONV_DIM] * head.NUM_CONV,
            "fc_dims": [head.FC_DIM] * head.NUM_FC,
        }

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, H, W) pooled regions -> (R, features), or (R, C', H, W) without an FC layer."""
        for layer in self:
            x = layer(x)
        return x

    @property
    @torch.jit.unused
    def output_shape(self) -> ShapeSpec:
        """Shape of one region's output."""
        return self._output
