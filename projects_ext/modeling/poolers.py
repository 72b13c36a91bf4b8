"""RoI poolers by name, for the YAML route."""

from torch import nn

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.utils.registry import Registry

ROI_POOLER_REGISTRY = Registry("ROI_POOLER")
ROI_POOLER_REGISTRY.__doc__ = """
What pools region features from feature maps: a class with the arguments of Detectron2's ROIPooler,
`(output_size, scales, sampling_ratio, pooler_type)`, and its call. If it has more arguments, its
class method `options_from_config(cfg, channels)` gives them.
"""

ROI_POOLER_REGISTRY.register(ROIPooler)


def build_roi_pooler(cfg: CfgNode, head: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """The pooler that a head's section of the config names.

    Args:
        cfg: the whole config.
        head: a section with POOLER_NAME, POOLER_RESOLUTION, POOLER_SAMPLING_RATIO, POOLER_TYPE.
        input_shape: of the backbone's features, by name.
    """
    pooler = ROI_POOLER_REGISTRY.get(head.POOLER_NAME)
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
