"""Features of fixed size from regions of a feature pyramid."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import RoIPool

from detectron2.layers import ROIAlign, cat
from detectron2.layers.roi_align_rotated import ROIAlignRotated  # noqa: F401
from detectron2.layers.wrappers import nonzero_tuple, shapes_to_tensor  # noqa: F401
from detectron2.structures import Boxes
from detectron2.utils.tracing import assert_fx_safe, is_fx_tracing  # noqa: F401

__all__ = ["ROIPooler"]


def assign_boxes_to_levels(
    box_lists: list[Boxes],
    min_level: int,
    max_level: int,
    canonical_box_size: int,
    canonical_level: int,
) -> Tensor:
    """The pyramid level of every box (Lin et al. 2017, Eq. 1).

    Args:
        box_lists: boxes of every image, together M.
        min_level: the finest level, log2 of its stride.
        max_level: the coarsest level.
        canonical_box_size: the square root of the area, in pixels, of a box that belongs to
        canonical_level: this level. Boxes of half the size belong one level below.

    Returns:
        (M,) int64, level minus ``min_level``.
    """
    areas = cat([boxes.area() for boxes in box_lists])
    # A box that is canonical up to rounding must not fall a level; and no logarithm of zero.
    octaves = torch.log2(areas.sqrt() / canonical_box_size + 1e-8)
    levels = torch.floor(canonical_level + octaves)
    return levels.clamp(min=min_level, max=max_level).to(torch.int64) - min_level


def convert_boxes_to_pooler_format(box_lists: list[Boxes]) -> Tensor:
    """Concatenate the boxes of a batch, each with its image's index in front.

    Args:
        box_lists: boxes of every image, together M.

    Returns:
        (M, 5): image index, x0, y0, x1, y1.
    """
    # No count of boxes is read: a traced program would keep that of its own image.
    numbered = [
        torch.cat([torch.full_like(boxes.tensor[:, :1], index), boxes.tensor], dim=1)
        for index, boxes in enumerate(box_lists)
    ]
    return torch.cat(numbered)


class _RoIPool(RoIPool):
    """torchvision's RoIPool for features of any precision."""

    def forward(self, input: Tensor, rois: Tensor) -> Tensor:
        # Half precision cannot hold the coordinates of boxes.
        return super().forward(input.float(), rois.float()).to(input.dtype)


def _level_pooler(
    pooler_type: str, size: tuple[int, int], scale: float, sampling_ratio: int
) -> nn.Module:
    if pooler_type == "ROIPool":
        return _RoIPool(size, spatial_scale=scale)
    aligned = {"ROIAlign": False, "ROIAlignV2": True}
    if pooler_type not in aligned:
        raise ValueError(
            f"Unknown pooler type '{pooler_type}'; choose ROIAlignV2, ROIAlign or ROIPool."
        )
    return ROIAlign(
        size, spatial_scale=scale, sampling_ratio=sampling_ratio, aligned=aligned[pooler_type]
    )


def _pyramid_levels(scales: Sequence[float]) -> tuple[int, int]:
    """The finest and the coarsest level of feature maps with successive strides 1 / scale."""
    exact = [-math.log2(scale) for scale in scales]
    first = round(exact[0])
    for index, level in enumerate(exact):
        if not math.isclose(level, first + index, abs_tol=1e-6):
            raise ValueError(
                f"Scales of the ROIPooler are {list(scales)}; they must be powers of 1/2, each"
                " half the one before."
            )
    if first < 0:
        raise ValueError(f"Scales of the ROIPooler are {list(scales)}; none may be over 1.")
    return first, first + len(exact) - 1


class ROIPooler(nn.Module):
    """Pools every box from the level of the pyramid that suits its size.

    Args:
        output_size: side, or (height, width), of the pooled features.
        scales: of every feature map, 1 / stride, finest first.
        sampling_ratio: samples along each side of a bin of ROIAlign; 0 for as many as there are
            pixels.
        pooler_type: ``ROIAlignV2`` (aligned to pixel centres), ``ROIAlign`` (the older one,
            half a pixel off) or ``ROIPool``.
        canonical_box_size, canonical_level: see :func:`assign_boxes_to_levels`.

    Raises:
        ValueError: scales that are not successive powers of 1/2, or an unknown type.
    """

    def __init__(
        self, output_size: int | tuple[int, int] | list[int], scales: Sequence[float],
        sampling_ratio: int, pooler_type: str,
        canonical_box_size: int = 224, canonical_level: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        size = (output_size,) * 2 if isinstance(output_size, int) else tuple(output_size)
        if len(size) != 2 or canonical_box_size <= 0:
            raise ValueError(
                f"ROIPooler got output_size {output_size} and canonical_box_size"
                f" {canonical_box_size}; give a side or (height, width), and a positive size."
            )
        self.output_size: tuple[int, int] = (int(size[0]), int(size[1]))
        self.min_level, self.max_level = _pyramid_levels(scales)
        self.canonical_box_size = canonical_box_size
        self.canonical_level = canonical_level
        self.level_poolers = nn.ModuleList(
            _level_pooler(pooler_type, self.output_size, scale, sampling_ratio) for scale in scales
        )

    def forward(self, x: list[Tensor], box_lists: list[Boxes]) -> Tensor:
        """Pool all boxes of a batch.

        Args:
            x: one feature map (N, C, Hi, Wi) a level, finest first.
            box_lists: N lists of boxes, together M, in pixels of the network's input.

        Returns:
            (M, C, output height, output width), in the order of the boxes.
        """
        if not torch.jit.is_scripting():
            self._check(x, box_lists)
        height, width = self.output_size
        if len(box_lists) == 0:
            return x[0].new_zeros([0, x[0].shape[1], height, width])
        rois = convert_boxes_to_pooler_format(box_lists)
        if len(self.level_poolers) == 1:
            return self.level_poolers[0](x[0], rois)
        levels = assign_boxes_to_levels(
            box_lists, self.min_level, self.max_level, self.canonical_box_size, self.canonical_level
        )
        # Not len(rois): a traced program would keep the number of its own image.
        regions = x[0].new_empty([rois.shape[0], x[0].shape[1], height, width])
        # Levels without boxes are pooled too: all of them stay part of the graph, as
        # distributed training expects.
        for level, pooler in enumerate(self.level_poolers):
            mine = (levels == level).nonzero().squeeze(1)
            # Keeps nothing but the indices for the backward pass.
            regions.index_put_([mine], pooler(x[level], rois[mine]))
        return regions

    def _check(self, x: list[Tensor], box_lists: list[Boxes]) -> None:
        if not isinstance(x, list) or not isinstance(box_lists, list):
            raise ValueError("ROIPooler takes a list of feature maps and a list of Boxes.")
        if len(x) != len(self.level_poolers):
            raise ValueError(
                f"ROIPooler has {len(self.level_poolers)} scales but got {len(x)} feature maps."
            )
        if len(box_lists) != x[0].shape[0]:
            raise ValueError(
                f"ROIPooler got boxes of {len(box_lists)} images and features of {x[0].shape[0]}."
            )


_convert_boxes_to_pooler_format = convert_boxes_to_pooler_format


def _create_zeros(batch_target: torch.Tensor, *sizes: int) -> torch.Tensor:
    """Zeros of shape (len(batch_target), *sizes), like ``batch_target`` in device and type."""
    return batch_target.new_zeros(len(batch_target), *sizes)
