"""Helpers of the second stages: choosing proposals, their targets, and pooling their features.

Shape legend: N images, Ri proposals of image i.
"""

from typing import Any

from torch import Tensor

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.structures import Instances

from ..poolers import ROIPooler


def select_foreground_proposals(
    proposals: list[Instances], bg_label: int
) -> tuple[list[Instances], list[Tensor]]:
    """The proposals that are matched to an object.

    Args:
        proposals: N Instances with ``gt_classes``.
        bg_label: the class of background; proposals of class -1 (ignored) go as well.

    Returns:
        N Instances of foreground proposals, and N boolean masks (Ri,) that select them.
    """
    masks = [(x.gt_classes != -1) & (x.gt_classes != bg_label) for x in proposals]
    chosen = [x[mask.nonzero().flatten()] for x, mask in zip(proposals, masks, strict=True)]
    return chosen, masks


def _pooling_of(
    cfg: CfgNode, head: CfgNode, input_shape: dict[str, ShapeSpec]
) -> tuple[ROIPooler | None, ShapeSpec]:
    """The pooler that config node ``head`` describes (None for type "") and a region's shape."""
    names = cfg.MODEL.ROI_HEADS.IN_FEATURES
    channels = {input_shape[name].channels for name in names}
    strides = [input_shape[name].stride for name in names]
    if len(channels) != 1 or not all(strides):
        raise ValueError(
            f"MODEL.ROI_HEADS.IN_FEATURES {list(names)} need known strides and one number of "
            f"channels for all; they have {strides} and {channels}."
        )
    side = head.POOLER_RESOLUTION
    shape = ShapeSpec(channels=channels.pop(), height=side, width=side)
    if not head.POOLER_TYPE:
        return None, shape
    scales = tuple(1.0 / stride for stride in strides if stride)
    pooler = ROIPooler(
        output_size=side,
        pooler_type=head.POOLER_TYPE,
        sampling_ratio=head.POOLER_SAMPLING_RATIO,
        scales=scales,
    )
    return pooler, shape


def _assigned_targets(targets: Instances, matched: Tensor, present: Instances) -> dict[str, Any]:
    """The ``gt_*`` fields of the matched targets, those aside that the proposals have already."""
    return {
        name: value[matched]
        for name, value in targets.get_fields().items()
        if name.startswith("gt_") and not present.has(name)
    }
