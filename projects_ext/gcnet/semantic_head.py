"""The segmentation head of GCNet (arXiv 1904.11492): global context between two convolutions."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from projects_ext.layers import ContextBlock
from projects_ext.semantic import FCNHead, head_options


@SEM_SEG_HEADS_REGISTRY.register()
class GCHead(FCNHead):
    """Convolution, global context, convolution; then what :class:`FCNHead` does.

    Args:
        ratio, pooling, fusions: of :class:`projects_ext.layers.ContextBlock`.
        in_feature, input_shape, channels, options: of :class:`projects_ext.semantic.FCNHead`.

    Raises:
        ValueError: no convolution that context could follow.
    """

    @configurable
    def __init__(
        self,
        *,
        in_feature: str,
        input_shape: ShapeSpec,
        channels: int,
        ratio: float = 1 / 4,
        pooling: str = "att",
        fusions: Sequence[str] = ("channel_add",),
        **options: Any,
    ) -> None:
        super().__init__(
            in_feature=in_feature, input_shape=input_shape, channels=channels, **options
        )
        if not len(self.convs):
            raise ValueError("global context follows the head's first convolution: give num_convs")
        self.context = ContextBlock(channels, ratio=ratio, pooling=pooling, fusions=fusions)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """As FCNHead's, with ``MODEL.GC_HEAD``."""
        block = cfg.MODEL.GC_HEAD
        return {
            **head_options(cfg, input_shape),
            "ratio": block.RATIO,
            "pooling": block.POOLING,
            "fusions": block.FUSIONS,
        }

    def convolve(self, x: Tensor) -> Tensor:
        """The convolutions, with context after the first."""
        for index, convolution in enumerate(self.convs):
            x = convolution(x)
            if index == 0:
                x = self.context(x)
        return x
