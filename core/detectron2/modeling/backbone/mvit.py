"""The MViT backbone, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    MViT, MultiScaleAttention, MultiScaleBlock, attention_pool,
) = unavailable(
    __name__, "transformer and RegNet backbones",
    "MViT MultiScaleAttention MultiScaleBlock attention_pool",
)  # fmt: skip
