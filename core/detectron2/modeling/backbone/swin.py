"""The Swin backbone, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    BasicLayer, Mlp, PatchEmbed, PatchMerging, SwinTransformer, SwinTransformerBlock,
    WindowAttention, window_partition, window_reverse,
) = unavailable(
    __name__, "transformer and RegNet backbones",
    "BasicLayer Mlp PatchEmbed PatchMerging SwinTransformer SwinTransformerBlock WindowAttention",
    "window_partition window_reverse",
)  # fmt: skip
