"""RoI poolers by name, for the YAML route."""

import difflib
from typing import Any

from torch import nn

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.utils.registry import Registry
from projects_ext.errors import UserError

DEFAULT_POOLER = "ROIPooler"

ROI_POOLER_REGISTRY = Registry("ROI_POOLER")
ROI_POOLER_REGISTRY.__doc__ = """
What pools region features from feature maps: a class with the arguments of Detectron2's ROIPooler,
`(output_size, scales, sampling_ratio, pooler_type)`, and its call. If it has more arguments, its
class method `options_from_config(cfg, channels)` gives them.
"""

ROI_POOLER_REGISTRY.register(ROIPooler)


def named_poolers(cfg: CfgNode) -> dict[str, str]:
    """Every ``POOLER_NAME`` under ``cfg.MODEL`` that is not the default, by its full key.

    Raises:
        UserError: no pooler of that name is registered; the nearest names are given.
    """
    sections: dict[str, Any] = dict(cfg.MODEL)
    names = {
        f"MODEL.{section}.POOLER_NAME": node.POOLER_NAME
        for section, node in sections.items()
        if isinstance(node, CfgNode) and "POOLER_NAME" in node
    }
    for key, name in names.items():
        _pooler_class(name, key)
    return {key: name for key, name in names.items() if name != DEFAULT_POOLER}


def _pooler_class(name: str, key: str = "POOLER_NAME") -> Any:
    known = [registered for registered, _ in ROI_POOLER_REGISTRY]
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4) or known
        raise UserError(f"{key} is {name!r}, but no such pooler exists: use {' or '.join(near)}")
    return ROI_POOLER_REGISTRY.get(name)


def build_roi_pooler(cfg: CfgNode, head: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """The pooler that a head's section of the config names.

    Args:
        cfg: the whole config.
        head: a section with POOLER_NAME, POOLER_RESOLUTION, POOLER_SAMPLING_RATIO, POOLER_TYPE.
        input_shape: of the backbone's features, by name.

    Raises:
        UserError: no pooler of that name is registered.
    """
    pooler = _pooler_class(head.POOLER_NAME)
    maps = [input_shape[name] for name in cfg.MODEL.ROI_HEADS.IN_FEATURES]
    options = {}
    if hasattr(pooler, "options_from_config"):
        options = pooler.options_from_config(cfg, maps[0].channels)
    return pooler(
        output_size=head.POOLER_RESOLUTION,
        scales=tuple(1.0 / (map_.stride or 1) for map_ in maps),
        sampling_ratio=head.POOLER_SAMPLING_RATIO,
        pooler_type=head.POOLER_TYPE,
        **options,
    )
