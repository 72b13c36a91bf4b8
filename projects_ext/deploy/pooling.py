"""Region features for a fixed number of boxes, for exported programs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes


def pool(pooler: Any, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """What a pooler makes of the boxes of an image.

    Args:
        pooler: Detectron2's ``ROIPooler``, or one whose steps do not depend on the boxes.
        maps: one (1, C, H, W) for each level.
        boxes: (R, 4) in pixels of the network's input.

    Returns:
        (R, C, h, w).
    """
    if not isinstance(pooler, ROIPooler):
        return pooler(list(maps), [Boxes(boxes)])
    regions = torch.cat((torch.zeros_like(boxes[:, :1]), boxes), dim=1)
    if len(pooler.level_poolers) == 1:
        return pooler.level_poolers[0](maps[0], regions)
    return _from_levels(pooler, maps, regions)


def _from_levels(pooler: Any, maps: Sequence[Tensor], regions: Tensor) -> Tensor:
    """Two regions more are pooled from each level: exported operators need some."""
    count = len(regions)
    levels = _levels(pooler, regions[:, 1:])
    more = regions.new_tensor([[0.0, 0, 0, 1, 1], [0, 0, 0, 1, 1]])
    regions = torch.cat((regions, more))
    extra = torch.arange(count, count + len(more))
    shape = (len(regions), maps[0].shape[1], *pooler.output_size)
    pooled = torch.zeros(shape, dtype=maps[0].dtype)
    for level, (align, features) in enumerate(zip(pooler.level_poolers, maps, strict=True)):
        mine = torch.cat(((levels == level).nonzero().flatten(), extra))
        found = align(features, regions.index_select(0, mine))
        pooled = pooled.index_put((mine,), found)
    return pooled[:count]


def _levels(pooler: Any, boxes: Tensor) -> Tensor:
    """Of each box its level, see Detectron2's ``assign_boxes_to_levels``: (R,) int64, from 0."""
    sides = boxes[:, 2:] - boxes[:, :2]
    ratio = (sides[:, 0] * sides[:, 1]).sqrt() / pooler.canonical_box_size
    level = torch.floor(pooler.canonical_level + torch.log2(ratio + 1e-8))
    level = level.clamp(min=pooler.min_level, max=pooler.max_level)
    return level.to(torch.int64) - pooler.min_level
