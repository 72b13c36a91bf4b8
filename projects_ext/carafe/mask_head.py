"""A mask head that upsamples by CARAFE (arXiv 1905.02188, section 4.1)."""

from typing import Any

from torch import nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import ROI_MASK_HEAD_REGISTRY
from projects_ext.layers import CARAFEUpsample
from projects_ext.modeling import KaimingLogitsMaskHead

from .config import build_upsampler


@ROI_MASK_HEAD_REGISTRY.register()
class CARAFEMaskHead(KaimingLogitsMaskHead):
    """3x3 convolutions with ReLU, an upsampler, and at once the 1x1 predictor.

    Detectron2's mask head with an upsampler, called ``upsampler``, in the place of the transposed
    convolution and of the ReLU behind it.

    Args:
        input_shape: its ``channels`` are those of the regions.
        conv_dims: channels after each convolution and, last, after the upsampler.
        upsampler: (R, C, H, W) -> (R, conv_dims[-1], 2H, 2W), R any number of regions; by default
            ``CARAFEUpsample`` as in the paper, which keeps the channels.
        others: of ``MaskRCNNConvUpsampleHead``, such as ``num_classes``.

    Raises:
        ValueError: the default upsampler cannot change channels as ``conv_dims`` has it.
    """

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        conv_dims: list[int],
        upsampler: nn.Module | None = None,
        **others: Any,
    ) -> None:
        super().__init__(input_shape, conv_dims=conv_dims, **others)
        before, after = ([input_shape.channels or 0, *conv_dims])[-2:]
        if upsampler is None:
            if before != after:
                raise ValueError(
                    f"conv_dims of the mask head end in {before} and {after} channels: CARAFE "
                    "keeps their number, so give the same twice"
                )
            upsampler = CARAFEUpsample(after)
        # The layers are called in the order in which they are registered.
        predictor = self.predictor
        del self.deconv, self.deconv_relu, self.predictor
        self.upsampler = upsampler
        self.predictor = predictor

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """The arguments that MODEL.ROI_MASK_HEAD and MODEL.CARAFE hold."""
        arguments = super().from_config(cfg, input_shape)
        return {**arguments, "upsampler": build_upsampler(cfg, arguments["conv_dims"][-1])}
