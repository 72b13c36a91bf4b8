"""From the config key ``MODEL.BACKBONE.NAME`` to a backbone."""

from fvcore.common.registry import Registry

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from .backbone import Backbone

BACKBONE_REGISTRY = Registry("BACKBONE")
BACKBONE_REGISTRY.__doc__ = """
Builders of backbones: ``builder(cfg, input_shape) -> Backbone``, found by their name.
"""


def build_backbone(cfg: CfgNode, input_shape: ShapeSpec | None = None) -> Backbone:
    """Build the backbone that ``cfg.MODEL.BACKBONE.NAME`` names.

    Args:
        cfg: the whole config.
        input_shape: what the backbone gets; by default as many channels as
            ``cfg.MODEL.PIXEL_MEAN`` has entries.
    """
    if input_shape is None:
        input_shape = ShapeSpec(channels=len(cfg.MODEL.PIXEL_MEAN))
    name = cfg.MODEL.BACKBONE.NAME
    built = BACKBONE_REGISTRY.get(name)(cfg, input_shape)
    if not isinstance(built, Backbone):
        raise TypeError(
            f"MODEL.BACKBONE.NAME '{name}' built a {type(built).__name__}; a builder in"
            " BACKBONE_REGISTRY must return a detectron2.modeling.Backbone."
        )
    return built
