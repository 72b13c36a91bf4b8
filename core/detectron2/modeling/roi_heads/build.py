"""The registry of second stages, and the one that a YAML config asks for."""

from torch import nn

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.utils.registry import Registry

ROI_HEADS_REGISTRY = Registry("ROI_HEADS")
ROI_HEADS_REGISTRY.__doc__ = """
The second stages of R-CNNs. An entry is called as ``entry(cfg, input_shape)`` and gives a
:class:`ROIHeads`.
"""


def build_roi_heads(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """The second stage that ``cfg.MODEL.ROI_HEADS.NAME`` asks for.

    Args:
        cfg: the whole YAML config.
        input_shape: feature name -> its channels and stride.

    Raises:
        KeyError: no second stage of this name is registered.
    """
    return ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME)(cfg, input_shape)
