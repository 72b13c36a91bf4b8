"""The MViT backbone, left out: see ``detectron2.utils.unavailable``."""

from detectron2.modeling.backbone.backbone import Backbone  # noqa: F401
from detectron2.modeling.backbone.utils import (  # noqa: F401
    PatchEmbed,
    add_decomposed_rel_pos,
    get_abs_pos,
    window_partition,
    window_unpartition,
)
from detectron2.utils.unavailable import unavailable

(MViT, MultiScaleAttention, MultiScaleBlock, attention_pool) = unavailable(
    __name__,
    "transformer and RegNet backbones",
    "MViT",
    "MultiScaleAttention",
    "MultiScaleBlock",
    "attention_pool",
)
