"""The pyramid of CondInst for the YAML route: P3 to P7 above a ResNet."""

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.backbone.resnet import build_resnet_backbone


@BACKBONE_REGISTRY.register()
def build_condinst_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """FPN on a ResNet with P6 and P7 made from P5, from ``MODEL.RESNETS`` and ``MODEL.FPN``.

    Args:
        cfg: the whole config.
        input_shape: channels of the images.
    """
    options = cfg.MODEL.FPN
    channels = options.OUT_CHANNELS
    return FPN(
        bottom_up=build_resnet_backbone(cfg, input_shape),
        in_features=options.IN_FEATURES,
        out_channels=channels,
        norm=options.NORM,
        top_block=LastLevelP6P7(channels, channels, in_feature="p5"),
        fuse_type=options.FUSE_TYPE,
    )
