"""Label maps from a program of fixed steps, for exported models.

Shape legend: K classes; an image of H x W pixels as the network takes it; an output of h x w.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from projects_ext.errors import UserError

from .inference import MultiScaleFlip, WholeInference
from .segmentor import Segmentor

WHOLE = (
    "export it with the whole image at once: model.inference.crop=null "
    "model.inference.stride=null, in YAML MODEL.SEMANTIC.INFERENCE.CROP () and "
    "MODEL.SEMANTIC.INFERENCE.STRIDE ()"
)
"""What to do about sliding windows."""

Size = Sequence[Any]
"""(height, width): numbers, or what stands for them while a program is recorded."""

Preprocess = Callable[[Tensor], tuple[Tensor, Size]]
"""What lies before the network."""


class FixedSegmentor(nn.Module):
    """From an image to its label map.

    The same labels as the model's: of one view, or with ``predict_multi_scale`` of all of them,
    which takes so many times as long. There are no strips: all scores are in memory at once.

    Args:
        model: whose parts are used.
        preprocess: (H, W, 3) uint8 RGB -> the network's input (1, 3, H', W'), normalised and not
            padded, and its height and width.

    Raises:
        UserError: a way of inference whose steps depend on the image's size, as windows do.
    """

    OUTPUTS = ("labels",)
    """Names of the outputs."""

    def __init__(self, model: Segmentor, preprocess: Preprocess) -> None:
        super().__init__()
        self.model, self.preprocess = model.eval(), preprocess
        way = model.multi_scale or model.inference
        self.many = isinstance(way, MultiScaleFlip)
        inner: Any = way.inner if isinstance(way, MultiScaleFlip) else way
        if not isinstance(inner, WholeInference):
            raise UserError(
                f"{type(inner).__name__} takes as many steps as the image's size asks for, and an "
                f"exported model has a fixed number of them: {WHOLE}"
            )
        self.align_corners = inner.align_corners
        self.scales = way.scales if isinstance(way, MultiScaleFlip) else (1.0,)
        self.flip = isinstance(way, MultiScaleFlip) and way.flip

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Predict.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (H, W) class indices: uint8 if they fit into it, else int64.
        """
        seen, _ = self.preprocess(image)
        size = image.shape[:2]
        scores = self._mean(seen, size) if self.many else self._resize(self._logits(seen), size)
        labels = scores[0].argmax(dim=0)
        return (labels.to(torch.uint8) if scores.shape[1] <= 256 else labels,)

    def _logits(self, image: Tensor) -> Tensor:
        return self.model.encode(image).float()

    def _mean(self, image: Tensor, size: Size) -> Tensor:
        """The mean probabilities (1, K, h, w) of all views, see :class:`MultiScaleFlip`."""
        weight = 1 / (len(self.scales) * (2 if self.flip else 1))
        total: Any = 0
        for scale in self.scales:
            view = self._scaled(image, scale)
            views = torch.cat((view, view.flip(-1))) if self.flip else view
            shares = self._resize(self._logits(views), size).softmax(dim=1)
            total = total + shares[:1] * weight
            if self.flip:
                total = total + shares[1:].flip(-1) * weight
        return total

    def _scaled(self, image: Tensor, scale: float) -> Tensor:
        if scale == 1:
            return image
        size = [scaled_edge(edge, scale) for edge in image.shape[-2:]]
        return F.interpolate(image, size=size, mode="bilinear", align_corners=False)

    def _resize(self, scores: Tensor, size: Size) -> Tensor:
        """To (h, w); scores of that size already stay as they are, as in ``strips.resize``."""
        return F.interpolate(
            scores, size=list(size), mode="bilinear", align_corners=self.align_corners
        )


def scaled_edge(edge: Any, scale: float) -> Any:
    """``inference.scaled_size`` in whole numbers alone, which every exporter keeps open."""
    ratio = Fraction(scale).limit_denominator(1000)
    return (2 * edge * ratio.numerator + ratio.denominator) // (2 * ratio.denominator)
