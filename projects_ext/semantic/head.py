"""Heads that give every pixel a class: what all of them share, and the fully convolutional one.

Shape legend: N images of H x W pixels, K classes; feature maps of h x w.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fvcore.nn.weight_init import c2_msra_fill
from torch import Tensor, cat, nn
from torch.nn import functional as F

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling.meta_arch.semantic_seg import SEM_SEG_HEADS_REGISTRY
from projects_ext.layers.exporting import recording

from .checks import refuse_single_values
from .config import head_options
from .losses import SegmentationLoss

Norm = str | Callable[[int], nn.Module]
Features = Mapping[str, Tensor]


def conv_norm_relu(
    in_channels: int, out_channels: int, norm: Norm, *, kernel_size: int = 3, dilation: int = 1
) -> Conv2d:
    """A convolution that keeps the size, without bias where a norm follows, and ReLU."""
    layer = Conv2d(
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        bias=not norm,
        norm=get_norm(norm, out_channels),
        activation=F.relu_,
    )
    c2_msra_fill(layer)
    return layer


class PixelHead(nn.Module):
    """A classifier of pixels on one feature map; subclasses say what lies before it.

    It works in Detectron2's ``SemanticSegmentor``, which asks for logits at the size of the feature
    map times its stride, and in :class:`~projects_ext.semantic.Segmentor`, which asks for those of
    the very size of its images.

    Args:
        in_feature: name of the feature map.
        input_shape: its channels and stride.
        channels: before the classifier.
        num_classes: K.
        dropout: the probability that a channel before the classifier is left out in training.
        align_corners: of the resize of logits, see :func:`upsample`.
        losses: what is summed up in training; names must differ.
        loss_prefix: losses are logged as ``<prefix>_<the loss's name>``.
        ignore_value: the label of pixels that do not train.

    Raises:
        ValueError: two losses of one name.
    """

    def __init__(
        self,
        *,
        in_feature: str,
        input_shape: ShapeSpec,
        channels: int,
        num_classes: int,
        losses: Sequence[SegmentationLoss],
        dropout: float = 0.1,
        align_corners: bool = False,
        loss_prefix: str = "loss_sem_seg",
        ignore_value: int = 255,
    ) -> None:
        super().__init__()
        names = [f"{loss_prefix}_{loss.name}" for loss in losses]
        if len(set(names)) < len(names):
            raise ValueError(f"the losses are called {', '.join(names)}: each once, please")
        self.in_feature, self.stride = in_feature, input_shape.stride or 1
        self.ignore_value, self.align_corners = ignore_value, align_corners
        self.criteria = nn.ModuleDict(dict(zip(names, losses, strict=True)))
        self.dropout = nn.Dropout2d(dropout)
        self.predictor = Conv2d(channels, num_classes, kernel_size=1)
        nn.init.normal_(self.predictor.weight, std=0.01)
        assert self.predictor.bias is not None
        nn.init.zeros_(self.predictor.bias)

    def refine(self, x: Tensor) -> Tensor:
        """The feature map (N, C, h, w) -> what is classified, (N, ``channels``, h, w)."""
        raise NotImplementedError

    def layers(self, features: Features) -> Tensor:
        """Logits (N, K, h, w).

        Raises:
            ValueError: batch normalisation would have one value a channel to learn from.
        """
        x = features[self.in_feature]
        refuse_single_values(self, x.shape[0], x.shape[-2:])
        return self.predictor(self.dropout(self.refine(x)))

    def logits(self, features: Features, size: tuple[int, int] | None = None) -> Tensor:
        """Logits (N, K, H, W) in float32.

        Args:
            features: name -> (N, C, h, w).
            size: (H, W); by default that of the feature map times its stride.
        """
        found = self.layers(features).float()
        height, width = found.shape[-2:]
        return upsample(
            found, size or (height * self.stride, width * self.stride), self.align_corners
        )

    def losses(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Each loss by its name.

        Args:
            predictions: logits of any size, from :meth:`layers`; they become as large as the
                labels.
            targets: (N, H, W) class indices.
        """
        height, width = targets.shape[-2:]
        logits = upsample(predictions.float(), (height, width), self.align_corners)
        return {
            name: criterion(logits, targets, self.ignore_value)
            for name, criterion in self.criteria.items()
        }

    def forward(
        self, features: Features, targets: Tensor | None = None
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """``(None, losses)`` while training, ``(logits (N, K, H, W), {})`` otherwise.

        Args:
            features: name -> (N, C, h, w).
            targets: (N, H, W) class indices; in training mode only.

        Raises:
            ValueError: training without targets.
        """
        if not self.training:
            return self.logits(features), {}
        if targets is None:
            raise ValueError("a semantic head trains with sem_seg labels alone: there are none")
        return None, self.losses(self.layers(features), targets)


@SEM_SEG_HEADS_REGISTRY.register()
class FCNHead(PixelHead):
    """Convolutions, their result beside what went into them, another convolution, the classifier.

    Long et al., "Fully Convolutional Networks for Semantic Segmentation" (arXiv 1411.4038), in the
    form that became usual on dilated networks.

    Args:
        num_convs: convolutions; 0 gives the feature map itself to the classifier.
        kernel_size, dilation: of the convolutions.
        concat_input: whether feature map and result are put together by ``conv_cat``.
        norm: of each convolution, see ``detectron2.layers.get_norm``.
        in_feature, input_shape, channels, options: of :class:`PixelHead`.

    Raises:
        ValueError: no convolution, and yet another number of channels.
    """

    @configurable
    def __init__(
        self,
        *,
        in_feature: str,
        input_shape: ShapeSpec,
        channels: int,
        num_convs: int = 2,
        kernel_size: int = 3,
        dilation: int = 1,
        concat_input: bool = True,
        norm: Norm = "BN",
        **options: Any,
    ) -> None:
        super().__init__(
            in_feature=in_feature, input_shape=input_shape, channels=channels, **options
        )
        width = input_shape.channels or channels
        if num_convs == 0 and width != channels:
            raise ValueError(
                f"without convolutions {in_feature}'s {width} channels cannot become {channels}: "
                f"set channels to {width}, or num_convs to 1 or more"
            )
        self.convs = nn.ModuleList(
            conv_norm_relu(
                width if index == 0 else channels,
                channels,
                norm,
                kernel_size=kernel_size,
                dilation=dilation,
            )
            for index in range(num_convs)
        )
        self.conv_cat = (
            conv_norm_relu(width + channels, channels, norm, kernel_size=kernel_size)
            if concat_input
            else None
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Constructor arguments from ``MODEL.SEM_SEG_HEAD`` and ``MODEL.SEMANTIC``."""
        return head_options(cfg, input_shape)

    def convolve(self, x: Tensor) -> Tensor:
        """What comes of the feature map before the two are put together."""
        for convolution in self.convs:
            x = convolution(x)
        return x

    def refine(self, x: Tensor) -> Tensor:
        """See :class:`PixelHead`."""
        found = self.convolve(x)
        return found if self.conv_cat is None else self.conv_cat(cat([x, found], dim=1))


def upsample(logits: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """(N, K, h, w) -> (N, K, H, W), bilinearly; as it is where the sizes agree.

    Args:
        logits: of a batch.
        size: (H, W).
        align_corners: whether it is the centres of the corner pixels that stay in place (so 97
            cells become 769 pixels at a stride of 8), or their outer edges.
    """
    # Sizes that agree while a program is recorded may differ where it is used.
    if not recording() and tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=align_corners)
