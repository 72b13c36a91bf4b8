"""The ViT backbone, left out: see ``detectron2.utils.unavailable``."""

from detectron2.layers.batch_norm import get_norm  # noqa: F401
from detectron2.layers.blocks import CNNBlockBase  # noqa: F401
from detectron2.layers.wrappers import Conv2d  # noqa: F401
from detectron2.modeling.backbone.backbone import Backbone  # noqa: F401
from detectron2.modeling.backbone.fpn import _assert_strides_are_log2_contiguous  # noqa: F401
from detectron2.modeling.backbone.utils import (  # noqa: F401
    PatchEmbed,
    add_decomposed_rel_pos,
    get_abs_pos,
    window_partition,
    window_unpartition,
)
from detectron2.utils.unavailable import unavailable

(Attention, Block, ResBottleneckBlock, SimpleFeaturePyramid, ViT, get_vit_lr_decay_rate) = (
    unavailable(
        __name__,
        "transformer and RegNet backbones",
        "Attention",
        "Block",
        "ResBottleneckBlock",
        "SimpleFeaturePyramid",
        "ViT",
        "get_vit_lr_decay_rate",
    )
)
