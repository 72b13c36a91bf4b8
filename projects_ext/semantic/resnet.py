"""Dilated ResNets for dense prediction: "D8", whose last two stages keep the stride of 8.

The stem of three 3x3 convolutions is that of ResNet-C (He et al., "Bag of Tricks for Image
Classification with Convolutional Neural Networks", arXiv 1812.01187, Fig. 2b); dilation in the
place of strides is Yu et al., "Dilated Residual Networks" (arXiv 1705.09914).
"""

from collections.abc import Sequence
from typing import Any

from fvcore.nn.weight_init import c2_msra_fill
from torch import Tensor
from torch.nn import functional as F

from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicStem, BottleneckBlock, ResNet

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STEMS = ("deep", "basic")


class DeepStem(CNNBlockBase):
    """Three 3x3 convolutions, the first with stride 2, and a max-pooling: together of stride 4.

    They are called ``conv1_1``, ``conv1_2`` and ``conv1_3``, as in Detectron2's DeepLab.

    Args:
        in_channels: channels of the image.
        out_channels: of the third convolution; the others have half as many.
        norm: of each convolution, see ``detectron2.layers.get_norm``.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 64, norm: Any = "BN") -> None:
        super().__init__(in_channels, out_channels, 4)
        self.in_channels = in_channels
        half = out_channels // 2
        widths = (in_channels, half, half, out_channels)
        self.conv1_1, self.conv1_2, self.conv1_3 = (
            Conv2d(
                widths[index],
                width,
                kernel_size=3,
                stride=2 if index == 0 else 1,
                padding=1,
                bias=False,
                norm=get_norm(norm, width),
            )
            for index, width in enumerate(widths[1:])
        )
        for convolution in (self.conv1_1, self.conv1_2, self.conv1_3):
            c2_msra_fill(convolution)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / 4, W / 4), fractions rounded up."""
        for convolution in (self.conv1_1, self.conv1_2, self.conv1_3):
            x = F.relu_(convolution(x))
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


def make_dilated_stages(
    depth: int = 50,
    *,
    dilations: Sequence[int] = (1, 1, 2, 4),
    strides: Sequence[int] = (1, 2, 1, 1),
    blocks: Sequence[int] | None = None,
    width: int = 64,
    stem_channels: int = 64,
    **options: Any,
) -> list[list[CNNBlockBase]]:
    """Stages of bottleneck blocks (res2 to res5), some with dilation in the place of a stride.

    In a dilated stage the first block has half the dilation of the others: what comes in has been
    sampled as finely as that.

    Args:
        depth: 50, 101 or 152.
        dilations: of the 3x3 convolutions, a number a stage.
        strides: of the first block, a number a stage; in its 3x3 convolution.
        blocks: how many each stage has, in the place of what ``depth`` says.
        width: channels of the 3x3 convolutions of res2; they double from stage to stage, and a
            stage's output has four times as many.
        stem_channels: of the stem's output.
        options: of all blocks, such as ``norm``.

    Raises:
        ValueError: an unknown depth, or lists that have not one entry a stage.
    """
    if blocks is None and depth not in BLOCKS:
        raise ValueError(f"depth is {depth}: give one of {', '.join(map(str, BLOCKS))}")
    counts = tuple(blocks or BLOCKS[depth])
    for name, values in (("dilations", dilations), ("strides", strides)):
        if len(values) != len(counts):
            raise ValueError(
                f"{name} has {len(values)} entries: give one for each of the {len(counts)} stages"
            )
    stages = []
    in_channels = stem_channels
    for index, count in enumerate(counts):
        dilation, middle = dilations[index], width * 2**index
        stages.append(
            ResNet.make_stage(
                BottleneckBlock,
                count,
                in_channels=in_channels,
                out_channels=4 * middle,
                bottleneck_channels=middle,
                stride_per_block=[strides[index]] + [1] * (count - 1),
                dilation_per_block=[max(dilation // 2, 1)] + [dilation] * (count - 1),
                **options,
            )
        )
        in_channels = 4 * middle
    return stages


@BACKBONE_REGISTRY.register()
def build_dilated_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """The ResNet of ``MODEL.RESNETS`` with the stem and the dilations of ``MODEL.SEMANTIC``.

    Args:
        cfg: the whole config.
        input_shape: channels of the images.

    Raises:
        ValueError: an unknown stem or depth, or not one dilation and stride a stage.
    """
    options, semantic = cfg.MODEL.RESNETS, cfg.MODEL.SEMANTIC
    if semantic.STEM not in STEMS:
        raise ValueError(f"MODEL.SEMANTIC.STEM is '{semantic.STEM}': give 'deep' or 'basic'")
    stem_class = DeepStem if semantic.STEM == "deep" else BasicStem
    return ResNet(
        stem_class(input_shape.channels or 3, options.STEM_OUT_CHANNELS, norm=options.NORM),
        make_dilated_stages(
            options.DEPTH,
            dilations=semantic.DILATIONS,
            strides=semantic.STRIDES,
            width=options.RES2_OUT_CHANNELS // 4,
            stem_channels=options.STEM_OUT_CHANNELS,
            norm=options.NORM,
            stride_in_1x1=options.STRIDE_IN_1X1,
        ),
        out_features=options.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )
