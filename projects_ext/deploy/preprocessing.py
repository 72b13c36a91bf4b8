"""From an image to a network's input, as a part of an exported program."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from detectron2.data import transforms as T
from projects_ext.data.opencv_resize import OpenCVResizeShortestEdge
from projects_ext.errors import UserError

from .resizing import as_size, not_resized, resize_as_opencv, resize_as_pillow, shortest_edge_size

BILINEAR = 2
"""Pillow's number for it."""


class Preprocessing(nn.Module):
    """Resizes, normalises and pads an image of any size, with evaluation's pixels.

    Args:
        augmentations: of evaluation.
        image_format: "BGR" or "RGB", what the network takes.
        mean, std: of the channels, in that order.
        divisibility: the padded sides are multiples of it.

    Raises:
        UserError: another augmentation or format than exported programs know.
    """

    def __init__(
        self,
        augmentations: Sequence[Any],
        image_format: str,
        mean: Sequence[float],
        std: Sequence[float],
        divisibility: int,
    ) -> None:
        super().__init__()
        if image_format not in ("BGR", "RGB") or len(mean) != 3:
            raise UserError(
                f"the model takes images of the format {image_format} with {len(mean)} channels: "
                "exported are models of BGR or RGB"
            )
        self.resize, self.edges = _resize_of(augmentations)
        self.reverse = image_format == "BGR"
        self.divisibility = max(divisibility, 1)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(list(values)).float()[:, None, None], False)

    mean: Tensor
    std: Tensor

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Prepare an image.

        Args:
            image: (H, W, 3) uint8, red first.

        Returns:
            (1, 3, H', W'), normalised and padded with zeros to the divisibility; and the height
            and width of what is not padding, int64 tensors of one number.
        """
        size = (_edge(image.shape[0]), _edge(image.shape[1]))
        new = size if self.edges is None else shortest_edge_size(*size, *self.edges)
        new_at = (self._padded(new[0]), self._padded(new[1]))
        pixels = image.permute(2, 0, 1).to(torch.float32)
        if self.reverse:
            pixels = pixels.flip(0)
        pixels = (self.resize(pixels, size, new, new_at) - self.mean) / self.std
        inside = (new_at[0] < new[0])[:, None] & (new_at[1] < new[1])
        return torch.where(inside, pixels, 0.0)[None], new

    def _padded(self, edge: Tensor) -> Tensor:
        """The positions along an edge and its padding."""
        count = torch.div(edge + (self.divisibility - 1), self.divisibility, rounding_mode="floor")
        return torch.arange(self.divisibility * as_size(count))


def _edge(length: Any) -> Tensor:
    return torch.scalar_tensor(length, dtype=torch.int64)


def _resize_of(augmentations: Sequence[Any]) -> tuple[Any, tuple[int, int] | None]:
    """How to resize, and the short edge wanted with the long one's limit; None: not at all."""
    if not augmentations:
        return not_resized, None
    augmentation = augmentations[0]
    edges: Any = getattr(augmentation, "short_edge_length", ())
    edges = (edges,) if isinstance(edges, int) else tuple(edges)
    fixed = len(set(edges)) == 1 and getattr(augmentation, "interp", BILINEAR) == BILINEAR
    if len(augmentations) > 1 or not isinstance(augmentation, T.ResizeShortestEdge) or not fixed:
        raise UserError(
            f"evaluation treats images with {', '.join(map(_name, augmentations))}: exported are "
            "models without augmentation, or with a bilinear ResizeShortestEdge of one length"
        )
    if edges[0] == 0:
        return not_resized, None
    opencv = isinstance(augmentation, OpenCVResizeShortestEdge)
    return resize_as_opencv if opencv else resize_as_pillow, (edges[0], augmentation.max_size)


def _name(augmentation: Any) -> str:
    return type(augmentation).__name__
