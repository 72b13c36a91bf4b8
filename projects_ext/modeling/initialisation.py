"""Components that start training from OpenMMLab's initial values instead of Detectron2's."""

from typing import Any

from torch import nn

from detectron2.modeling.backbone import FPN
from detectron2.modeling.roi_heads import MaskRCNNConvUpsampleHead


class XavierUniformFPN(FPN):
    """FPN whose convolutions start Xavier uniform.

    Detectron2's bound looks at the input channels alone, so its 1x1 convolutions, which have more
    of these than output channels, start smaller there: the bounds are sqrt(3 / in) and here
    sqrt(6 / (in + out)).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes the arguments of FPN."""
        super().__init__(*args, **kwargs)
        for convolution in (*self.lateral_convs, *self.output_convs):
            assert isinstance(convolution, nn.Conv2d)
            nn.init.xavier_uniform_(convolution.weight)


class KaimingLogitsMaskHead(MaskRCNNConvUpsampleHead):
    """Mask head whose last layer starts Kaiming normal (fan out), and not near 0."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes the arguments of MaskRCNNConvUpsampleHead."""
        super().__init__(*args, **kwargs)
        nn.init.kaiming_normal_(self.predictor.weight, mode="fan_out", nonlinearity="relu")
