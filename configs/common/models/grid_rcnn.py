"""Grid R-CNN (arXiv 1811.12030): a grid branch in the place of box regression."""

from typing import Any

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from projects_ext.grid_rcnn import ClassPredictor, GridHead, GridROIHeads


def use_grid(model: Any, **head: Any) -> None:
    """Turn a Faster or Mask R-CNN into a Grid R-CNN, which has no masks.

    Args:
        model: a LazyConfig; changed.
        head: of ``projects_ext.grid_rcnn.GridHead``.
    """
    heads = model.roi_heads
    for part in ("mask_in_features", "mask_pooler", "mask_head"):
        if part in heads:
            del heads[part]  # `pop` would look up what the value refers to
    channels = model.backbone.out_channels
    heads._target_ = GridROIHeads
    heads.box_predictor = L(ClassPredictor)(
        input_shape=heads.box_predictor.input_shape, num_classes="${..num_classes}"
    )
    heads.update(
        grid_in_features=heads.box_in_features,
        grid_pooler=L(ROIPooler)(
            output_size=14,
            scales=heads.box_pooler.scales,
            sampling_ratio=heads.box_pooler.sampling_ratio,
            pooler_type="ROIAlignV2",
        ),
        grid_head=L(GridHead)(
            input_shape=L(ShapeSpec)(channels=channels, height=14, width=14), **head
        ),
    )
