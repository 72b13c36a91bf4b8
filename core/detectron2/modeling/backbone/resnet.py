"""ResNet (He et al. 2016) and ResNeXt (Xie et al. 2017) as a backbone or as a classifier."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, ShapeSpec
from detectron2.layers.batch_norm import get_norm  # noqa: F401
from detectron2.layers.deform_conv import DeformConv, ModulatedDeformConv  # noqa: F401
from detectron2.layers.wrappers import Conv2d  # noqa: F401

from .backbone import Backbone, with_module_lists
from .build import BACKBONE_REGISTRY
from .resnet_blocks import BasicBlock, BasicStem, BottleneckBlock, DeformBottleneckBlock

__all__ = [
    "BasicBlock",
    "BasicStem",
    "BottleneckBlock",
    "DeformBottleneckBlock",
    "ResNet",
    "ResNetBlockBase",
    "build_resnet_backbone",
    "make_stage",
]

ResNetBlockBase = CNNBlockBase
"""The name that older code knows the base class of blocks by."""

BLOCKS_PER_STAGE = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Depth -> blocks in res2 to res5 (He et al. 2016, Table 1)."""


class ResNet(Backbone):
    """A stem and stages named ``res2``, ``res3``, ...; optionally a linear classifier on top.

    Args:
        stem: the first block.
        stages: up to four lists of blocks, e.g. from :meth:`make_default_stages`. Stages after
            the last one that ``out_features`` names are dropped.
        num_classes: outputs of a classifier (global average, then ``linear``); None for none.
        out_features: what :meth:`forward` returns: names among ``stem``, ``res2``, ...,
            ``linear``. Default: the last layer.
        freeze_at: see :meth:`freeze`.

    Raises:
        ValueError: an unknown name in ``out_features``, or an empty stage.
        TypeError: a block that is not a ``CNNBlockBase``.
    """

    def __init__(
        self, stem: CNNBlockBase, stages: Sequence[Sequence[CNNBlockBase]],
        num_classes: int | None = None, out_features: Sequence[str] | None = None,
        freeze_at: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_classes = num_classes
        self.stem = stem
        self._out_feature_strides = {"stem": stem.stride}
        self._out_feature_channels = {"stem": stem.out_channels}

        kept = stages if out_features is None else stages[: _stages_needed(out_features)]
        self.stage_names: tuple[str, ...] = ()
        self.stages: list[nn.Module] = []
        last_name = "stem"
        for number, blocks in enumerate(kept, start=2):
            self._add_stage(f"res{number}", blocks, stride=self._out_feature_strides[last_name])
            last_name = f"res{number}"

        if num_classes is not None:
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.linear = nn.Linear(self._out_feature_channels[last_name], num_classes)
            # Goyal et al. 2017, Sec. 5.1: the classifier starts from a Gaussian of 0.01.
            nn.init.normal_(self.linear.weight, std=0.01)
            last_name = "linear"

        self._out_features = [last_name] if out_features is None else list(out_features)
        self._check_out_features()
        self.freeze(freeze_at)

    def _add_stage(self, name: str, blocks: Sequence[CNNBlockBase], stride: int) -> None:
        """Append ``blocks`` as stage ``name``; its input has ``stride``."""
        blocks = list(blocks)
        if not blocks:
            raise ValueError(f"Stage {name} of the ResNet has no blocks; give it at least one.")
        for block in blocks:
            if not isinstance(block, CNNBlockBase):
                raise TypeError(f"A block of {name} is a {type(block)}, not a CNNBlockBase.")
        stage = nn.Sequential(*blocks)
        self.add_module(name, stage)
        self.stages.append(stage)
        self.stage_names += (name,)
        self._out_feature_strides[name] = stride * math.prod(block.stride for block in blocks)
        self._out_feature_channels[name] = blocks[-1].out_channels

    def _check_out_features(self) -> None:
        if not self._out_features:
            raise ValueError("out_features of the ResNet is empty; name at least one layer.")
        known = [name for name, _ in self.named_children() if name != "avgpool"]
        for name in self._out_features:
            if name not in known:
                raise ValueError(f"ResNet has no feature '{name}'; choose from {', '.join(known)}.")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the features that ``out_features`` names.

        Args:
            x: images (N, C, H, W) of any size.

        Returns:
            name -> (N, channels, H / stride, W / stride), fractions rounded up; ``linear`` is
            (N, num_classes).
        """
        assert x.dim() == 4, f"ResNet takes images (N, C, H, W), not a tensor of {x.shape}."
        # In the order of computation, whatever the order in `out_features`.
        features: dict[str, Tensor] = {}
        top = self.stem(x)
        if "stem" in self._out_features:
            features["stem"] = top
        for name, stage in zip(self.stage_names, self.stages):  # noqa: B905 (for TorchScript)
            top = stage(top)
            if name in self._out_features:
                features[name] = top
        if self.num_classes is not None:
            logits = self.linear(self.avgpool(top).flatten(start_dim=1))
            if "linear" in self._out_features:
                features["linear"] = logits
        return features

    def __prepare_scriptable__(self) -> nn.Module:
        """The network as TorchScript compiles it: stages in a module list, not named one by one."""
        return with_module_lists(self, {"stages": self.stage_names})

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of the features; ``linear`` has no stride."""
        strides: dict[str, Any] = self._out_feature_strides
        channels = {**self._out_feature_channels, "linear": self.num_classes}
        return {
            name: ShapeSpec(channels=channels[name], stride=strides.get(name))
            for name in self._out_features
        }

    def freeze(self, freeze_at: int = 0) -> nn.Module:
        """Freeze the first layers for good: no gradients, batch norms turned into frozen ones.

        Args:
            freeze_at: 0 freezes nothing, 1 the stem, 2 the stem and res2, and so on.

        Returns:
            the network itself.
        """
        if freeze_at >= 1:
            self.stem.freeze()
        for stage in self.stages[: max(freeze_at - 1, 0)]:
            for block in stage.children():
                block.freeze()  # type: ignore[operator]  # a CNNBlockBase
        return self

    @staticmethod
    def make_stage(
        block_class: type[CNNBlockBase], num_blocks: int, *,
        in_channels: int, out_channels: int, **kwargs: Any,
    ) -> list[CNNBlockBase]:  # fmt: skip
        """Make the blocks of one stage.

        Args:
            block_class: class of all blocks.
            num_blocks: how many.
            in_channels: input channels of the first block.
            out_channels: output channels of every block.
            kwargs: given to every block. An argument ``NAME_per_block`` is a list with a value
                of ``NAME`` for each block, e.g. ``stride_per_block=[2, 1, 1]``.

        Raises:
            ValueError: a per-block list of another length, or ``NAME`` given both ways.
        """
        options: list[dict[str, Any]] = [{} for _ in range(num_blocks)]
        for key, value in kwargs.items():
            name = key.removesuffix("_per_block")
            values = [value] * num_blocks if name == key else value
            if len(values) != num_blocks:
                raise ValueError(f"{key} has {len(values)} entries for {num_blocks} blocks.")
            for option, entry in zip(options, values, strict=True):
                if name in option:
                    raise ValueError(f"Give make_stage either {name} or {name}_per_block.")
                option[name] = entry
        widths = [in_channels] + [out_channels] * num_blocks
        return [
            block_class(width, out_channels, **option)
            for width, option in zip(widths, options, strict=False)
        ]

    @staticmethod
    def make_default_stages(
        depth: int, block_class: type[CNNBlockBase] | None = None, **kwargs: Any
    ) -> list[list[CNNBlockBase]]:
        """Make the four stages of the ResNet of the paper with ``depth`` layers.

        Args:
            depth: 18, 34, 50, 101 or 152.
            block_class: default :class:`BasicBlock` up to 34, :class:`BottleneckBlock` from 50.
                From 50 on it gets ``bottleneck_channels`` too.
            kwargs: given to every block (not ``stride``, ``out_channels`` and the like, which
                the depth decides).
        """
        bottleneck = depth >= 50
        if block_class is None:
            block_class = BottleneckBlock if bottleneck else BasicBlock
        stages: list[list[CNNBlockBase]] = []
        in_channels = 64
        for index, num_blocks in enumerate(_blocks_per_stage(depth)):
            width = 64 * 2**index
            if bottleneck:
                kwargs["bottleneck_channels"] = width
            out_channels = 4 * width if bottleneck else width
            strides = [1 if index == 0 else 2] + [1] * (num_blocks - 1)
            stage = ResNet.make_stage(
                block_class, num_blocks, stride_per_block=strides,
                in_channels=in_channels, out_channels=out_channels, **kwargs,
            )  # fmt: skip
            stages.append(stage)
            in_channels = out_channels
        return stages


def _blocks_per_stage(depth: int) -> tuple[int, ...]:
    if depth not in BLOCKS_PER_STAGE:
        raise KeyError(f"No ResNet of depth {depth}; choose from {sorted(BLOCKS_PER_STAGE)}.")
    return BLOCKS_PER_STAGE[depth]


def _stages_needed(out_features: Sequence[str]) -> int | None:
    """How many stages lead to the last of ``out_features``; None for all."""
    stages = {f"res{number}": number - 1 for number in range(2, 6)}
    return max((stages.get(name, 0) for name in out_features), default=None)


def make_stage(*args: Any, **kwargs: Any) -> list[CNNBlockBase]:
    """:meth:`ResNet.make_stage` as a function, for older code."""
    return ResNet.make_stage(*args, **kwargs)


def _check_shallow(config: CfgNode) -> None:
    """Refuse what the configs of ResNet-18 and -34 cannot express."""
    wanted = {"RES2_OUT_CHANNELS": 64, "RES5_DILATION": 1, "NUM_GROUPS": 1}
    for key, value in wanted.items():
        if config[key] != value:
            raise ValueError(
                f"MODEL.RESNETS.{key} is {config[key]};"
                f" with DEPTH {config.DEPTH} it must be {value}."
            )
    if any(config.DEFORM_ON_PER_STAGE):
        raise ValueError(
            "MODEL.RESNETS.DEFORM_ON_PER_STAGE needs bottleneck blocks: set DEPTH to 50 or more."
        )


def _configured_stage(config: CfgNode, index: int, in_channels: int) -> list[CNNBlockBase]:
    """Stage ``index`` (0 is res2) of the network that ``cfg.MODEL.RESNETS`` describes."""
    dilation = config.RES5_DILATION if index == 3 else 1
    # A dilated res5 keeps the resolution of res4.
    first_stride = 1 if index == 0 or dilation == 2 else 2
    num_blocks = BLOCKS_PER_STAGE[config.DEPTH][index]
    options: dict[str, Any] = {
        "stride_per_block": [first_stride] + [1] * (num_blocks - 1),
        "norm": config.NORM,
    }
    block_class: type[CNNBlockBase] = BasicBlock
    if config.DEPTH >= 50:
        block_class = BottleneckBlock
        options["bottleneck_channels"] = config.NUM_GROUPS * config.WIDTH_PER_GROUP * 2**index
        options["stride_in_1x1"] = config.STRIDE_IN_1X1
        options["dilation"] = dilation
        options["num_groups"] = config.NUM_GROUPS
        if config.DEFORM_ON_PER_STAGE[index]:
            block_class = DeformBottleneckBlock
            options["deform_modulated"] = config.DEFORM_MODULATED
            options["deform_num_groups"] = config.DEFORM_NUM_GROUPS
    out_channels = config.RES2_OUT_CHANNELS * 2**index
    return ResNet.make_stage(
        block_class, num_blocks, in_channels=in_channels, out_channels=out_channels, **options
    )


@BACKBONE_REGISTRY.register()
def build_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Build the ResNet that ``cfg.MODEL.RESNETS`` and ``cfg.MODEL.BACKBONE.FREEZE_AT`` describe.

    Args:
        cfg: the whole config.
        input_shape: channels of the images.

    Raises:
        KeyError: an unknown depth.
        ValueError: a dilation of res5 other than 1 and 2; or options that ResNet-18 and -34
            do not have.
    """
    config = cfg.MODEL.RESNETS
    _blocks_per_stage(config.DEPTH)
    if config.RES5_DILATION not in (1, 2):
        raise ValueError(f"MODEL.RESNETS.RES5_DILATION is {config.RES5_DILATION}, not 1 or 2.")
    if config.DEPTH < 50:
        _check_shallow(config)
    stem = BasicStem(input_shape.channels or 3, config.STEM_OUT_CHANNELS, norm=config.NORM)
    stages: list[list[CNNBlockBase]] = []
    in_channels = config.STEM_OUT_CHANNELS
    # Also those that the network drops: a seed then makes the weights that it makes in Detectron2.
    for index in range(4):
        stages.append(_configured_stage(config, index, in_channels))
        in_channels = stages[-1][-1].out_channels
    return ResNet(
        stem, stages, out_features=config.OUT_FEATURES, freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT
    )
