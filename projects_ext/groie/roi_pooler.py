"""Region features from every pyramid level (GRoIE, arXiv 2004.13665).

Shapes: N images, M regions in all of them, C channels, h x w bins of a region.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import roi_align

from detectron2.config import CfgNode
from detectron2.structures import Boxes
from projects_ext.layers import (
    GeneralizedAttention,
    SmallMapConv2d,
    pixel_rows,
    roi_align_rows,
    rows_pay,
)
from projects_ext.layers.exporting import recording
from projects_ext.modeling.poolers import ROI_POOLER_REGISTRY

CHUNK_BINS = 128 * 49
"""Bins that go through the modules at a time at inference: enough to keep the processor busy."""

AGGREGATIONS = ("sum", "concat")


@ROI_POOLER_REGISTRY.register()
class GRoIEPooler(nn.Module):
    """Pools each region from all levels, in the place of Detectron2's ``ROIPooler``.

    RoIAlign from every level, the pre-module on each (the same for all), aggregation over the
    levels, the post-module (section 3 of the paper).

    At inference the regions go through it in chunks, so that memory beside maps and result does not
    grow with their number. In mixed precision the levels are summed in float32.

    Args:
        output_size: bins of a region, h = w or (h, w).
        scales: of every level, the inverse of its stride.
        sampling_ratio: samples of a bin in each direction, 0 for as many as pixels.
        pooler_type: "ROIAlignV2" (aligned to pixel centres) or "ROIAlign".
        channels: C; needed where a module is not given.
        pre_module: (M, C, h, w) -> (M, C, h, w); by default a 5 x 5 convolution with bias and ReLU.
        post_module: of the aggregated features; by default attention of type 0100.
        aggregation: "sum" or "concat"; the latter gives the post-module levels x C channels.
        recompute: in training, compute the features of a level again when their gradients are
            needed instead of keeping those of all levels: less memory, about a third more time.
        chunk_bins: bins in a chunk.

    Raises:
        ValueError: unknown pooler type or aggregation.
    """

    def __init__(
        self,
        output_size: int | Sequence[int],
        scales: Sequence[float],
        sampling_ratio: int = 2,
        pooler_type: str = "ROIAlignV2",
        *,
        channels: int = 256,
        pre_module: nn.Module | None = None,
        post_module: nn.Module | None = None,
        aggregation: str = "sum",
        recompute: bool = False,
        chunk_bins: int = CHUNK_BINS,
    ) -> None:
        super().__init__()
        if pooler_type not in ("ROIAlign", "ROIAlignV2"):
            raise ValueError(
                f"pooler_type is '{pooler_type}': GRoIE pools by 'ROIAlignV2' or 'ROIAlign'"
            )
        if aggregation not in AGGREGATIONS:
            raise ValueError(f"aggregation is '{aggregation}': give {' or '.join(AGGREGATIONS)}")
        height, width = (output_size,) * 2 if isinstance(output_size, int) else output_size
        self.output_size: tuple[int, int] = (height, width)
        self.scales = tuple(scales)
        self.sampling_ratio = sampling_ratio
        self.aligned = pooler_type == "ROIAlignV2"
        self.aggregation = aggregation
        self.recompute = recompute
        self.chunk = max(1, chunk_bins // (height * width))
        self.pre_module = convolution(channels) if pre_module is None else pre_module
        if post_module is None:
            levels = len(self.scales) if aggregation == "concat" else 1
            post_module = GeneralizedAttention(levels * channels)
        self.post_module = post_module

    @classmethod
    def options_from_config(cls, cfg: CfgNode, channels: int) -> dict[str, Any]:
        """The arguments that only this pooler has, from ``cfg.MODEL.GROIE``."""
        options = cfg.MODEL.GROIE
        levels = len(cfg.MODEL.ROI_HEADS.IN_FEATURES) if options.AGGREGATION == "concat" else 1
        attention = GeneralizedAttention(
            levels * channels,
            num_heads=options.NUM_HEADS,
            attention_type=options.ATTENTION_TYPE,
            kv_stride=options.KV_STRIDE,
            transposed_rows=options.TRANSPOSED_ROWS,
        )
        return {
            "pre_module": convolution(channels, options.PRE_KERNEL_SIZE),
            "post_module": attention,
            "aggregation": options.AGGREGATION,
            "recompute": options.RECOMPUTE,
        }

    def extra_repr(self) -> str:
        """What the modules inside do not show."""
        return (
            f"output_size={self.output_size}, levels={len(self.scales)}, "
            f"sampling_ratio={self.sampling_ratio}, aggregation='{self.aggregation}'"
        )

    def forward(self, x: Sequence[Tensor], box_lists: Sequence[Boxes]) -> Tensor:
        """Pool.

        Args:
            x: the levels' feature maps, each (N, C, H, W).
            box_lists: the boxes of every image, together M; M may be 0.

        Returns:
            (M, C, h, w); with concatenation what the post-module makes of (M, levels C, h, w).

        Raises:
            ValueError: the numbers of levels or of images do not agree.
        """
        if len(x) != len(self.scales) or not box_lists or len(box_lists) != len(x[0]):
            raise ValueError(
                f"GRoIEPooler got {len(x)} feature maps and {len(box_lists)} lists of boxes: give "
                f"{len(self.scales)} maps, one for each scale, and one list for each image"
            )
        regions = numbered(box_lists)
        if torch.is_grad_enabled() or recording():
            return self._by_level(x, regions)
        return self._in_chunks(x, regions)

    def _by_level(self, maps: Sequence[Tensor], regions: Tensor) -> Tensor:
        """All regions at once. With ``recompute`` only inputs and outputs of these steps stay."""

        def pool(level: int, features: Tensor) -> Tensor:
            return self.pre_module(self._align(level, features, len(regions))(regions))

        levels = [self._step(pool, level, features) for level, features in enumerate(maps)]
        if self.aggregation == "sum":
            total = at_least_float32(levels[0])
            for features in levels[1:]:
                total = total + features
        else:
            total = torch.cat(levels, dim=1)
        return self._step(self.post_module, total.to(maps[0].dtype)).to(maps[0].dtype)

    def _step(self, function: Callable[..., Tensor], *args: Any) -> Tensor:
        if self.recompute:
            return checkpoint(function, *args, use_reentrant=False)
        return function(*args)

    def _in_chunks(self, maps: Sequence[Tensor], regions: Tensor) -> Tensor:
        """Every chunk goes to its place at once, and one level's source is held at a time."""
        parts = [slice(i, i + self.chunk) for i in range(0, max(1, len(regions)), self.chunk)]
        total: Tensor | None = None
        with self._many_calls(len(maps) * len(regions), maps[0]):
            for level, features in enumerate(maps):
                align = self._align(level, features, len(regions))
                for part in parts:
                    pooled = self.pre_module(align(regions[part]))
                    if total is None:
                        total = self._no_features(pooled, len(regions))
                    first = level * pooled.shape[1] if self.aggregation == "concat" else 0
                    total[part, first : first + pooled.shape[1]] += pooled
                del align
        assert total is not None
        output: Tensor | None = None
        for part in parts:
            finished = self.post_module(total[part].to(maps[0].dtype))
            if output is None:
                shape = (len(regions), *finished.shape[1:])
                output = finished.new_empty(shape, dtype=maps[0].dtype)
            output[part] = finished
        assert output is not None
        return output

    def _many_calls(self, count: int, features: Tensor) -> AbstractContextManager[None]:
        """The pre-module is about to see ``count`` regions, chunk by chunk."""
        if isinstance(self.pre_module, SmallMapConv2d):
            region = features.new_empty((0, *self.output_size))
            return self.pre_module.kept_spectra(count, region)
        return nullcontext()

    def _no_features(self, like: Tensor, count: int) -> Tensor:
        """Zeros for the aggregated features of all regions, channels last as those of a chunk."""
        levels = len(self.scales) if self.aggregation == "concat" else 1
        shape = (count, *self.output_size, levels * like.shape[1])
        dtype = torch.promote_types(like.dtype, torch.float32)
        return like.new_zeros(shape, dtype=dtype).permute(0, 3, 1, 2)

    def _align(self, level: int, features: Tensor, count: int) -> Callable[[Tensor], Tensor]:
        """RoIAlign from one level, from regions (M, 5) to (M, C, h, w); they are ``count`` in all.

        On the CPU many regions pay for a copy of the map that they are pooled from faster.
        """
        samples = count * math.prod(self.output_size) * self.sampling_ratio**2
        by_rows = features.device.type == "cpu" and not recording() and rows_pay(features, samples)
        source = pixel_rows(features) if by_rows else at_least_float32(features)
        scale, ratio = self.scales[level], self.sampling_ratio

        def pool(regions: Tensor) -> Tensor:
            align = roi_align_rows if by_rows else roi_align
            regions = regions.to(source.dtype)
            pooled = align(source, regions, self.output_size, scale, ratio, self.aligned)
            return pooled.to(features.dtype)

        return pool


def at_least_float32(x: Tensor) -> Tensor:
    """``x``, or what it is in float32 if its type has fewer digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def numbered(box_lists: Sequence[Boxes]) -> Tensor:
    """The boxes of all images, each with its image's index in front: (M, 5)."""
    parts = [
        torch.cat([boxes.tensor.new_full((len(boxes), 1), index), boxes.tensor], dim=1)
        for index, boxes in enumerate(box_lists)
    ]
    return torch.cat(parts)


def convolution(channels: int, kernel_size: int = 5) -> nn.Module:
    """The pre-module of the paper: a convolution with bias, then ReLU."""
    layer = SmallMapConv2d(channels, channels, kernel_size, activation=nn.ReLU(inplace=True))
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
