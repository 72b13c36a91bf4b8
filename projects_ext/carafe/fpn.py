"""A feature pyramid that upsamples by CARAFE (arXiv 1905.02188, section 4.1).

Shapes: N images, C channels of every level.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from projects_ext.layers import CARAFEUpsample
from projects_ext.modeling import XavierUniformFPN

from .config import build_upsampler


class CARAFEFPN(XavierUniformFPN):
    """FPN whose top-down path upsamples by modules, on learnt extra levels.

    Detectron2's FPN copies pixels on the way down, and takes P6 from the finished P5. Here each
    step has an upsampler of its own, and P6 comes first: a 3x3 convolution of stride 2 makes it
    from the coarsest input, and it is upsampled into P5 as P5 is into P4. Where the finer level is
    smaller than twice the coarser one, the upsampled map is cropped at its right and bottom.

    Weights are named as in FPN; the upsampler into the finest level is ``upsamplers.0``.

    Args:
        bottom_up: the network below.
        in_features: its features to use, finest first.
        out_channels: C.
        norm: of the convolutions, as for FPN.
        top_block: makes further levels from finished ones, as in FPN; only without extra levels.
        fuse_type: "sum" or "avg".
        square_pad: as for FPN.
        extra_levels: learnt levels above the coarsest input. The second is made from the first.
        upsamplers: (N, C, H, W) -> (N, C, 2H, 2W) for each level but the coarsest, finest first;
            by default ``CARAFEUpsample`` as in the paper.

    Raises:
        ValueError: extra levels with a top block, or another number of upsamplers.
    """

    def __init__(
        self,
        bottom_up: Backbone,
        in_features: Sequence[str],
        out_channels: int,
        norm: Any = "",
        top_block: nn.Module | None = None,
        fuse_type: str = "sum",
        square_pad: int = 0,
        *,
        extra_levels: int = 1,
        upsamplers: Sequence[nn.Module] | None = None,
    ) -> None:
        if extra_levels < 0 or (extra_levels > 0 and top_block is not None):
            raise ValueError(
                f"extra_levels is {extra_levels} and top_block is {type(top_block).__name__}: give "
                "1 or more extra levels without a top block, or 0"
            )
        super().__init__(
            bottom_up,
            in_features,
            out_channels,
            norm=norm,
            top_block=top_block,
            fuse_type=fuse_type,
            square_pad=square_pad,
        )
        self._averages = fuse_type == "avg"
        channels = bottom_up.output_shape()[in_features[-1]].channels or 0
        for _ in range(extra_levels):
            self._add_level(channels, out_channels, norm)
            channels = out_channels
        steps = len(self.lateral_convs) - 1
        if upsamplers is None:
            upsamplers = [CARAFEUpsample(out_channels) for _ in range(steps)]
        if len(upsamplers) != steps:
            raise ValueError(
                f"{len(upsamplers)} upsamplers for a pyramid of {steps + 1} merged levels: give "
                f"{steps}, one for each level but the coarsest"
            )
        self.upsamplers = nn.ModuleList(upsamplers)

    def _add_level(self, in_channels: int, out_channels: int, norm: Any) -> None:
        """A level above the coarsest one, at half its size."""
        level = int(self._out_features[-1].removeprefix("p")) + 1
        for kind, source, stride, convolutions in (
            ("lateral", in_channels, 2, self.lateral_convs),
            ("output", out_channels, 1, self.output_convs),
        ):
            convolution = Conv2d(
                source,
                out_channels,
                3,
                stride=stride,
                padding=1,
                bias=norm == "",
                norm=get_norm(norm, out_channels),
            )
            nn.init.xavier_uniform_(convolution.weight)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
            self.add_module(f"fpn_{kind}{level}", convolution)
            convolutions.insert(0, convolution)
        self._out_features.append(f"p{level}")
        self._out_feature_strides[f"p{level}"] = 2**level
        self._out_feature_channels[f"p{level}"] = out_channels
        # Images are padded so that every level is half of the one below.
        self._size_divisibility = 2**level

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Compute all levels.

        Args:
            x: images (N, 3, H, W) of any size; multiples of ``size_divisibility`` need no cropping.

        Returns:
            ``p<i>`` -> (N, C, H / 2**i, W / 2**i), rounded up, finest first.

        Raises:
            ValueError: an upsampler gives less than the level that it leads to has.
        """
        bottom_up = self.bottom_up(x)
        laterals = self._laterals([bottom_up[name] for name in self.in_features])
        merged = laterals[-1]
        outputs = [self.output_convs[0](merged)]
        for step in reversed(range(len(laterals) - 1)):
            merged = self._merge(laterals[step], self.upsamplers[step](merged))
            outputs.append(self.output_convs[len(outputs)](merged))
        outputs.reverse()
        pyramid = dict(zip(self._out_features, outputs, strict=False))
        if self.top_block is None:
            return pyramid
        source: Any = self.top_block.in_feature
        further = self.top_block({**bottom_up, **pyramid}[source])
        return dict(zip(self._out_features, [*outputs, *further], strict=True))

    def _laterals(self, features: list[Tensor]) -> list[Tensor]:
        """One for each merged level, finest first. (The convolutions are coarsest first.)"""
        convolutions = self.lateral_convs[::-1]
        inputs = len(features)
        laterals = [layer(x) for layer, x in zip(convolutions[:inputs], features, strict=True)]
        source = features[-1]
        for layer in convolutions[inputs:]:
            source = layer(source)
            laterals.append(source)
        return laterals

    def _merge(self, lateral: Tensor, upsampled: Tensor) -> Tensor:
        cropped = upsampled[..., : lateral.shape[-2], : lateral.shape[-1]]
        # Otherwise a map of a single pixel, say, would be added everywhere.
        if cropped.shape != lateral.shape:
            raise ValueError(
                f"an upsampler of the pyramid gave {tuple(upsampled.shape)} for a level of "
                f"{tuple(lateral.shape)}: it has to keep the channels and to double the size"
            )
        merged = lateral + cropped
        return merged / 2 if self._averages else merged


@BACKBONE_REGISTRY.register()
def build_carafe_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> CARAFEFPN:
    """:class:`CARAFEFPN` as MODEL.FPN and MODEL.CARAFE say, on the network of BOTTOM_UP there."""
    options, carafe = cfg.MODEL.FPN, cfg.MODEL.CARAFE
    steps = len(options.IN_FEATURES) - 1 + carafe.EXTRA_LEVELS
    return CARAFEFPN(
        bottom_up=BACKBONE_REGISTRY.get(carafe.BOTTOM_UP)(cfg, input_shape),
        in_features=options.IN_FEATURES,
        out_channels=options.OUT_CHANNELS,
        norm=options.NORM,
        fuse_type=options.FUSE_TYPE,
        extra_levels=carafe.EXTRA_LEVELS,
        upsamplers=[build_upsampler(cfg, options.OUT_CHANNELS) for _ in range(steps)],
    )
