"""ResNet, ResNeXt and deformable ResNet with global context blocks (GCNet, arXiv 1904.11492)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import (
    BasicBlock,
    BottleneckBlock,
    DeformBottleneckBlock,
    ResNet,
    build_resnet_backbone,
)
from projects_ext.layers import ContextBlock

if TYPE_CHECKING:
    Base = CNNBlockBase
else:
    Base = object

BLOCKS_PER_STAGE = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class BackboneContext(ContextBlock):
    """The context block of a residual block.

    A class of this package, for weights to be renamed by its key map in whatever network it stands.
    """


def add_context(block: CNNBlockBase, **options: Any) -> None:
    """Put a context block behind the last norm of a residual block, before the addition.

    It takes the place of the last convolution's activation, which residual blocks leave free, and
    is called ``conv3.activation`` in the state dict (``conv2.activation`` in a basic block).

    Args:
        block: a bottleneck or a basic block.
        options: of :class:`projects_ext.layers.ContextBlock`, such as ``ratio``.

    Raises:
        ValueError: the block has one already.
    """
    last: Any = block.conv3 if hasattr(block, "conv3") else block.conv2
    if last.activation is not None:
        raise ValueError(f"{type(block).__name__} has a {type(last.activation).__name__} already")
    last.activation = BackboneContext(last.out_channels, **options)


class WithContext(Base):
    """Mixed into a residual block: its residual branch ends with a context block.

    Args:
        args: of the block.
        ratio, pooling, fusions: of :class:`projects_ext.layers.ContextBlock`.
        options: keyword arguments of the block.
    """

    def __init__(
        self,
        *args: Any,
        ratio: float = 1 / 16,
        pooling: str = "att",
        fusions: Sequence[str] = ("channel_add",),
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        add_context(self, ratio=ratio, pooling=pooling, fusions=fusions)


class ContextBasicBlock(WithContext, BasicBlock):
    """Two 3x3 convolutions, then global context: for shallow networks."""


class ContextBottleneckBlock(WithContext, BottleneckBlock):
    """A bottleneck with global context; of ResNeXt with ``num_groups`` over 1."""


class ContextDeformBottleneckBlock(WithContext, DeformBottleneckBlock):
    """A bottleneck with a deformable 3x3 convolution and global context."""


def make_stages(
    depth: int,
    *,
    context_per_stage: Sequence[bool] = (False, True, True, True),
    deform_per_stage: Sequence[bool] = (False, False, False, False),
    num_groups: int = 1,
    width_per_group: int = 64,
    ratio: float = 1 / 16,
    pooling: str = "att",
    fusions: Sequence[str] = ("channel_add",),
    **options: Any,
) -> list[list[CNNBlockBase]]:
    """The four stages (res2 to res5) of a ResNet or ResNeXt, with context blocks in some.

    Args:
        depth: 50, 101 or 152.
        context_per_stage: which stages have a context block in every residual block.
        deform_per_stage: which stages have deformable 3x3 convolutions.
        num_groups, width_per_group: of the 3x3 convolutions; 32 and 4 for ResNeXt 32x4d.
        ratio, pooling, fusions: of the context blocks.
        options: of all blocks, such as ``norm`` and ``stride_in_1x1``.

    Raises:
        ValueError: an unknown depth, or a list that has not one entry a stage.
    """
    _check_stages("context_per_stage", context_per_stage)
    _check_stages("deform_per_stage", deform_per_stage)
    if depth not in BLOCKS_PER_STAGE:
        raise ValueError(f"depth is {depth}: give one of {', '.join(map(str, BLOCKS_PER_STAGE))}")
    context = {"ratio": ratio, "pooling": pooling, "fusions": fusions}
    stages = []
    for stage, blocks in enumerate(BLOCKS_PER_STAGE[depth]):
        has_context, deforms = context_per_stage[stage], deform_per_stage[stage]
        block_class = _block_class(has_context, deforms)
        stages.append(
            ResNet.make_stage(
                block_class,
                blocks,
                stride_per_block=[1 if stage == 0 else 2] + [1] * (blocks - 1),
                in_channels=64 if stage == 0 else 128 * 2**stage,
                out_channels=256 * 2**stage,
                bottleneck_channels=num_groups * width_per_group * 2**stage,
                num_groups=num_groups,
                **options,
                **(context if has_context else {}),
            )
        )
    return stages


def _check_stages(name: str, per_stage: Sequence[bool]) -> None:
    if len(per_stage) != 4:
        raise ValueError(f"{name} has {len(per_stage)} entries: give one each for res2 to res5")


def _block_class(has_context: bool, deforms: bool) -> type[CNNBlockBase]:
    if deforms:
        return ContextDeformBottleneckBlock if has_context else DeformBottleneckBlock
    return ContextBottleneckBlock if has_context else BottleneckBlock


@BACKBONE_REGISTRY.register()
def build_gcnet_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """The ResNet that MODEL.RESNETS describes, with context blocks as its GC_BLOCK says.

    Raises:
        ValueError: GC_BLOCK.ON_PER_STAGE has not one entry a stage.
    """
    options = cfg.MODEL.RESNETS.GC_BLOCK
    _check_stages("MODEL.RESNETS.GC_BLOCK.ON_PER_STAGE", options.ON_PER_STAGE)
    network = build_resnet_backbone(cfg, input_shape)
    frozen = cfg.MODEL.BACKBONE.FREEZE_AT
    for index, name in enumerate(network.stage_names):
        if not options.ON_PER_STAGE[index]:
            continue
        stage: Any = getattr(network, name)
        for block in stage:
            add_context(
                block, ratio=options.RATIO, pooling=options.POOLING, fusions=options.FUSIONS
            )
            if frozen >= index + 2:
                _freeze(block)
    return network


def _freeze(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.requires_grad_(False)


@BACKBONE_REGISTRY.register()
def build_gcnet_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Detectron2's FPN on :func:`build_gcnet_resnet_backbone`."""
    options = cfg.MODEL.FPN
    return FPN(
        bottom_up=build_gcnet_resnet_backbone(cfg, input_shape),
        in_features=options.IN_FEATURES,
        out_channels=options.OUT_CHANNELS,
        norm=options.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=options.FUSE_TYPE,
    )
