"""The RegNet backbone, left out: see ``detectron2.utils.unavailable``."""

from detectron2.layers.batch_norm import get_norm  # noqa: F401
from detectron2.layers.blocks import CNNBlockBase  # noqa: F401
from detectron2.layers.shape_spec import ShapeSpec  # noqa: F401
from detectron2.modeling.backbone.backbone import Backbone  # noqa: F401
from detectron2.utils.unavailable import unavailable

(
    AnyNet,
    AnyStage,
    BasicTransform,
    BottleneckTransform,
    RegNet,
    ResBasicBlock,
    ResBottleneckBlock,
    ResStem,
    SE,
    SimpleStem,
    VanillaBlock,
    adjust_block_compatibility,
    conv2d,
    gap2d,
    generate_regnet_parameters,
    init_weights,
    pool2d,
) = unavailable(
    __name__,
    "transformer and RegNet backbones",
    "AnyNet",
    "AnyStage",
    "BasicTransform",
    "BottleneckTransform",
    "RegNet",
    "ResBasicBlock",
    "ResBottleneckBlock",
    "ResStem",
    "SE",
    "SimpleStem",
    "VanillaBlock",
    "adjust_block_compatibility",
    "conv2d",
    "gap2d",
    "generate_regnet_parameters",
    "init_weights",
    "pool2d",
)
