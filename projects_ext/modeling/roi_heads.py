"""Detectron2's RoI heads with poolers from the registry (YAML; a LazyConfig injects poolers)."""

from typing import TYPE_CHECKING, Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, CascadeROIHeads, StandardROIHeads

from .poolers import build_roi_pooler

if TYPE_CHECKING:
    Base = StandardROIHeads
else:
    Base = object


class RegisteredPoolers(Base):
    """Mixed into RoI heads: box and mask pooler are those that ``POOLER_NAME`` names."""

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        parts = super()._init_box_head(cfg, input_shape)
        parts["box_pooler"] = build_roi_pooler(cfg, cfg.MODEL.ROI_BOX_HEAD, input_shape)
        return parts

    @classmethod
    def _init_mask_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        parts = super()._init_mask_head(cfg, input_shape)
        if parts.get("mask_pooler") is not None:
            parts["mask_pooler"] = build_roi_pooler(cfg, cfg.MODEL.ROI_MASK_HEAD, input_shape)
        return parts


@ROI_HEADS_REGISTRY.register()
class RegisteredPoolersROIHeads(RegisteredPoolers, StandardROIHeads):
    """``StandardROIHeads`` with poolers by name."""


@ROI_HEADS_REGISTRY.register()
class RegisteredPoolersCascadeROIHeads(RegisteredPoolers, CascadeROIHeads):
    """``CascadeROIHeads`` with poolers by name."""
