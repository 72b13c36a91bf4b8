"""The ViT backbone, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    Attention, Block, ResBottleneckBlock, SimpleFeaturePyramid, ViT, get_vit_lr_decay_rate,
) = unavailable(
    __name__, "transformer and RegNet backbones",
    "Attention Block ResBottleneckBlock SimpleFeaturePyramid ViT get_vit_lr_decay_rate",
)  # fmt: skip
