"""The dynamic mask head: from mask features and predicted parameters to masks."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from projects_ext.layers import aligned_bilinear, dynamic_masks
from projects_ext.layers.blockwise import sum_in_blocks
from projects_ext.layers.dynamic_mask import (
    apply_layers,
    being_traced,
    dynamic_layers,
    full_precision,
    instances_in_a_block,
    parameter_sizes,
    shared_inputs,
)

from .losses import dice_loss

CHUNK = 2**23
"""Pixels of masks that are brought to the image's size at a time."""


class DynamicMaskHead(nn.Module):
    """Three 1x1 convolutions whose weights are predicted for each instance; it has none itself.

    Args:
        in_channels: mask features.
        channels: of the hidden layers.
        stride: of the mask features, in pixels.
        out_stride: of the masks that are trained.
        size_of_interest: relative coordinates are in so many strides of the instance's level.
        threshold: probability above which a pixel belongs to a mask.
    """

    def __init__(
        self,
        *,
        in_channels: int = 8,
        channels: int = 8,
        stride: int = 8,
        out_stride: int = 4,
        size_of_interest: int = 8,
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        if stride % out_stride:
            raise ValueError(
                f"The masks' stride {out_stride} does not divide {stride}, the mask features'"
            )
        self.in_channels, self.channels = in_channels, channels
        self.stride, self.out_stride = stride, out_stride
        self.size_of_interest, self.threshold = size_of_interest, threshold

    @property
    def num_parameters(self) -> int:
        """How many parameters an instance's head has."""
        return sum(parameter_sizes(self.in_channels, self.channels))

    def forward(
        self, features: Tensor, parameters: Tensor, points: Tensor, strides: Tensor
    ) -> Tensor:
        """Mask logits of an image at the stride of its features.

        Args:
            features: (in_channels, H, W).
            parameters: (I, num_parameters), predicted at the instances' locations.
            points: (I, 2) these locations, in pixels.
            strides: (I,) of their levels.

        Returns:
            (I, H, W).
        """
        sizes = strides * self.size_of_interest
        return dynamic_masks(
            features, parameters, points, sizes, stride=self.stride, channels=self.channels
        )

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (I, H, W) at the features' stride -> probabilities (I, …) at ``out_stride``."""
        factor = self.stride // self.out_stride
        return aligned_bilinear(logits, factor).sigmoid()

    def loss(
        self,
        features: Tensor,
        parameters: Tensor,
        points: Tensor,
        strides: Tensor,
        targets: Tensor,
        instances: Tensor,
    ) -> Tensor:
        """The sum of the dice losses of an image's masks.

        A block of masks at a time, so that memory does not grow with their number.

        Args:
            features, parameters, points, strides: see :meth:`forward`.
            targets: (M, …) bool masks at ``out_stride``.
            instances: (I,) int64, the target of each mask.
        """
        height, width = features.shape[-2:]
        sizes = (strides * self.size_of_interest).float()

        def term(inputs: Tensor, rows: Tensor, block: slice) -> Tensor:
            parts = (rows, points[block], sizes[block], self.in_channels, self.channels)
            logits = apply_layers(dynamic_layers(*parts), inputs).unflatten(1, (height, width))
            return dice_loss(self.probabilities(logits), targets[instances[block]]).sum()

        with full_precision(features.device):
            inputs = shared_inputs(features.float(), self.stride)
            size = instances_in_a_block(self.channels, inputs.shape[1], inputs.device)
            return sum_in_blocks(term, inputs, parameters.float(), size)

    @torch.no_grad()
    def paste(self, logits: Tensor, image_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Bring masks to the size of an image.

        A chunk of masks at a time, and only booleans stay. In a trace or an exported program all at
        once, see :func:`~projects_ext.layers.dynamic_mask.being_traced`.

        Args:
            logits: (I, H, W) at the features' stride.
            image_size: height and width of what the network saw, without padding.
            size: height and width of the result.

        Returns:
            (I, *size) bool.
        """
        if being_traced():
            return self._pasted(logits, image_size, size) > self.threshold
        found = torch.empty((len(logits), *size), dtype=torch.bool, device=logits.device)
        seen = logits.shape[-2] * logits.shape[-1] * self.stride**2
        chunk = max(1, CHUNK // max(seen, size[0] * size[1], 1))
        for part, place in zip(logits.split(chunk), found.split(chunk), strict=True):
            torch.gt(self._pasted(part, image_size, size), self.threshold, out=place)
        return found

    def _pasted(self, logits: Tensor, image_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Probabilities (I, *size); see :meth:`paste`."""
        fine = aligned_bilinear(self.probabilities(logits), self.out_stride)
        fine = fine[:, None, : image_size[0], : image_size[1]]
        # Sizes that agree in a trace may differ where it is used.
        if torch.jit.is_tracing() or size != image_size:
            fine = F.interpolate(fine, size=size, mode="bilinear", align_corners=False)
        return fine.squeeze(1)

    def extra_repr(self) -> str:
        """The numbers that a printed model shows."""
        shown: dict[str, Any] = {"channels": self.channels, "parameters": self.num_parameters}
        return ", ".join(f"{name}={value}" for name, value in shown.items())
