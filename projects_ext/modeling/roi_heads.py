"""Detectron2's RoI heads with poolers from the registry (YAML; a LazyConfig injects poolers)."""

from typing import TYPE_CHECKING, Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, CascadeROIHeads, StandardROIHeads

from .poolers import DEFAULT_POOLER, build_roi_pooler, named_poolers

if TYPE_CHECKING:
    Base = StandardROIHeads
else:
    Base = object

PREFIX = "RegisteredPoolers"


class RegisteredPoolers(Base):
    """Mixed into RoI heads: box and mask pooler are those that ``POOLER_NAME`` names.

    Where the name is the default, the heads keep the pooler that they build themselves.
    """

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        parts = super()._init_box_head(cfg, input_shape)
        return _with_named_pooler(parts, "box_pooler", cfg, cfg.MODEL.ROI_BOX_HEAD, input_shape)

    @classmethod
    def _init_mask_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        parts = super()._init_mask_head(cfg, input_shape)
        return _with_named_pooler(parts, "mask_pooler", cfg, cfg.MODEL.ROI_MASK_HEAD, input_shape)


def _with_named_pooler(
    parts: dict[str, Any], name: str, cfg: CfgNode, head: CfgNode, input_shape: dict[str, ShapeSpec]
) -> dict[str, Any]:
    """``parts`` with the pooler that the head names in place of ``parts[name]``, if it has one."""
    if parts.get(name) is None or head.POOLER_NAME == DEFAULT_POOLER:
        return parts
    return {**parts, name: build_roi_pooler(cfg, head, input_shape)}


@ROI_HEADS_REGISTRY.register()
class RegisteredPoolersROIHeads(RegisteredPoolers, StandardROIHeads):
    """``StandardROIHeads`` with poolers by name."""


@ROI_HEADS_REGISTRY.register()
class RegisteredPoolersCascadeROIHeads(RegisteredPoolers, CascadeROIHeads):
    """``CascadeROIHeads`` with poolers by name."""


def heads_with_named_poolers(cfg: CfgNode) -> str:
    """The value of ``MODEL.ROI_HEADS.NAME`` under which the config's ``POOLER_NAME`` is followed.

    If a pooler is named and the RoI heads are derived from ``StandardROIHeads``, these are the same
    heads with :class:`RegisteredPoolers` mixed in, registered here if they are not yet. In every
    other case it is the config's own value.

    Raises:
        UserError: no pooler of such a name is registered.
    """
    chosen: str = cfg.MODEL.ROI_HEADS.NAME
    registered: dict[str, Any] = dict(ROI_HEADS_REGISTRY)
    if not named_poolers(cfg):
        return chosen
    # A saved config may hold a name that this function made in another process.
    base = chosen if chosen in registered else chosen.removeprefix(PREFIX)
    heads = registered.get(base, object)
    if not issubclass(heads, StandardROIHeads) or issubclass(heads, RegisteredPoolers):
        return chosen
    for name, known in registered.items():
        if known.__bases__ == (RegisteredPoolers, heads):
            return name
    name = f"{PREFIX}{base}"
    ROI_HEADS_REGISTRY.register(
        type(name, (RegisteredPoolers, heads), {"__doc__": f"``{base}`` with poolers by name."})
    )
    return name
