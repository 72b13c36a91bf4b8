"""The RegNet backbone, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    AnyNet, AnyStage, BasicTransform, BottleneckTransform, RegNet, ResBasicBlock,
    ResBottleneckBlock, ResStem, SE, SimpleStem, VanillaBlock, adjust_block_compatibility, conv2d,
    gap2d, generate_regnet_parameters, init_weights, pool2d,
) = unavailable(
    __name__, "transformer and RegNet backbones",
    "AnyNet AnyStage BasicTransform BottleneckTransform RegNet ResBasicBlock ResBottleneckBlock",
    "ResStem SE SimpleStem VanillaBlock adjust_block_compatibility conv2d gap2d",
    "generate_regnet_parameters init_weights pool2d",
)  # fmt: skip
