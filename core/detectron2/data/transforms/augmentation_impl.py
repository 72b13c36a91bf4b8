"""Augmentations for detection and segmentation: resizing and flipping; crops and colours beside."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fvcore.transforms.transform import HFlipTransform, NoOpTransform, Transform, VFlipTransform
from PIL import Image

from detectron2.data.transforms.augmentation import _transform_to_aug  # noqa: F401
from detectron2.data.transforms.transform import ExtentTransform, RotationTransform  # noqa: F401
from detectron2.structures.boxes import Boxes, pairwise_iou  # noqa: F401

from .augmentation import AugInput, Augmentation, _as_augmentation
from .color_augmentation import RandomBrightness, RandomContrast, RandomLighting, RandomSaturation
from .crop_augmentation import FixedSizeCrop, RandomCrop, RandomCrop_CategoryAreaConstraint
from .geometric_augmentation import MinIoURandomCrop, RandomExtent, RandomRotation
from .transform import ResizeTransform

__all__ = [
    "FixedSizeCrop",
    "MinIoURandomCrop",
    "RandomApply",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomCrop_CategoryAreaConstraint",
    "RandomExtent",
    "RandomFlip",
    "RandomLighting",
    "RandomResize",
    "RandomRotation",
    "RandomSaturation",
    "Resize",
    "ResizeScale",
    "ResizeShortestEdge",
]


class RandomApply(Augmentation):
    """Applies an augmentation with a probability, else nothing.

    Args:
        tfm_or_aug: the augmentation, or a transform.
        prob: between 0 and 1.
    """

    def __init__(self, tfm_or_aug: Augmentation | Transform, prob: float = 0.5) -> None:
        assert 0.0 <= prob <= 1.0, f"A probability lies between 0 and 1; prob is {prob}."
        self.aug = _as_augmentation(tfm_or_aug)
        self.prob = prob

    def get_transform(self, *args: Any) -> Transform:
        """The augmentation's transform, or none."""
        return self.aug.get_transform(*args) if self._rand_range() < self.prob else NoOpTransform()

    def __call__(self, aug_input: AugInput) -> Transform:
        """Augment the input, or leave it as it is."""
        return self.aug(aug_input) if self._rand_range() < self.prob else NoOpTransform()


class RandomFlip(Augmentation):
    """Flips the image with a probability, in one direction.

    Args:
        prob: between 0 and 1.
        horizontal, vertical: the direction; exactly one is true.
    """

    def __init__(
        self, prob: float = 0.5, *, horizontal: bool = True, vertical: bool = False
    ) -> None:
        if bool(horizontal) == bool(vertical):
            raise ValueError(
                "RandomFlip flips in exactly one direction: set horizontal or vertical, and use "
                "two RandomFlip for both."
            )
        self.prob, self.horizontal, self.vertical = prob, horizontal, vertical

    def get_transform(self, image: np.ndarray) -> Transform:
        """A flip of an image of this size, or none."""
        height, width = image.shape[:2]
        if self._rand_range() >= self.prob:
            return NoOpTransform()
        return HFlipTransform(width) if self.horizontal else VFlipTransform(height)


def _resize(image: np.ndarray, shape: Sequence[int], interp: Any) -> ResizeTransform:
    """A transform from the size of the image to the (height, width) ``shape``."""
    (height, width), (new_height, new_width) = image.shape[:2], shape
    return ResizeTransform(height, width, new_height, new_width, interp)


class Resize(Augmentation):
    """Resizes to a fixed size.

    Args:
        shape: (height, width), or one number for both, in pixels.
        interp: a PIL interpolation.
    """

    def __init__(self, shape: int | Sequence[int], interp: Any = Image.Resampling.BILINEAR) -> None:
        self.shape = (shape, shape) if isinstance(shape, int) else tuple(shape)
        self.interp = interp

    def get_transform(self, image: np.ndarray) -> Transform:
        """A resize of an image of this size."""
        return _resize(image, self.shape, self.interp)


class RandomResize(Augmentation):
    """Resizes to one of several fixed sizes.

    Args:
        shape_list: (height, width) pairs, in pixels.
        interp: a PIL interpolation.
    """

    def __init__(
        self, shape_list: Sequence[tuple[int, int]], interp: Any = Image.Resampling.BILINEAR
    ) -> None:
        self.shape_list, self.interp = shape_list, interp

    def get_transform(self, image: np.ndarray) -> Transform:
        """A resize of an image of this size."""
        shape = self.shape_list[int(np.random.choice(len(self.shape_list)))]
        return _resize(image, shape, self.interp)


class ResizeShortestEdge(Augmentation):
    """Resizes so that the shorter edge has a given length, unless the longer would get too long.

    Args:
        short_edge_length: in pixels; ``[min, max]`` to draw from all lengths between, or a list to
            choose from. A length of 0 leaves the image as it is.
        max_size: limit of the longer edge; the image is shrunk further to meet it.
        sample_style: "range" or "choice", how to read ``short_edge_length``.
        interp: a PIL interpolation.
    """

    # Only the computation of sizes is for TorchScript.
    @torch.jit.unused
    def __init__(
        self,
        short_edge_length: int | Sequence[int],
        max_size: int = sys.maxsize,
        sample_style: str = "range",
        interp: Any = Image.Resampling.BILINEAR,
    ) -> None:
        if sample_style not in ("range", "choice"):
            raise ValueError(f"sample_style is 'range' or 'choice', not {sample_style!r}.")
        single = isinstance(short_edge_length, int)
        lengths: Any = (short_edge_length,) * 2 if single else short_edge_length
        if sample_style == "range" and len(lengths) != 2:
            raise ValueError(
                f"With sample_style='range', short_edge_length is [min, max]; got {lengths}."
            )
        self.short_edge_length, self.max_size = lengths, max_size
        self.sample_style, self.interp = sample_style, interp
        self.is_range = sample_style == "range"

    @torch.jit.unused
    def _sample_length(self) -> int:
        if self.is_range:
            return np.random.randint(self.short_edge_length[0], self.short_edge_length[1] + 1)
        return np.random.choice(self.short_edge_length)

    # No types, of which TorchScript would want to know.
    @torch.jit.unused
    def get_transform(self, image):  # type: ignore[no-untyped-def]
        """A resize of an image of this size."""
        length = self._sample_length()
        if length == 0:
            return NoOpTransform()
        height, width = image.shape[:2]
        shape = self.get_output_shape(height, width, length, self.max_size)
        return _resize(image, shape, self.interp)

    @staticmethod
    def get_output_shape(
        oldh: int, oldw: int, short_edge_length: int, max_size: int
    ) -> tuple[int, int]:
        """The (height, width) after resizing an ``oldh`` x ``oldw`` image; at least 1 each."""
        scale = float(short_edge_length) / min(oldh, oldw)
        # The shorter edge is taken as it is, not scaled, so that rounding cannot change it.
        new = [scale * oldh, scale * oldw]
        new[int(oldw <= oldh)] = float(short_edge_length)
        longest = max(new)
        if longest > max_size:
            new = [edge * (max_size * 1.0 / longest) for edge in new]
        # A very thin image would round to nothing.
        return max(1, int(new[0] + 0.5)), max(1, int(new[1] + 0.5))


class ResizeScale(Augmentation):
    """Resizes to a random multiple of a target size, keeping the aspect ratio.

    With :class:`FixedSizeCrop`, this is large scale jittering (Ghiasi et al. 2021, section 4).

    Args:
        min_scale, max_scale: limits of the multiple.
        target_height, target_width: the size that the image fits into at scale 1, in pixels.
        interp: a PIL interpolation.
    """

    def __init__(
        self,
        min_scale: float,
        max_scale: float,
        target_height: int,
        target_width: int,
        interp: Any = Image.Resampling.BILINEAR,
    ) -> None:
        self.min_scale, self.max_scale = min_scale, max_scale
        self.target_height, self.target_width = target_height, target_width
        self.interp = interp

    def get_transform(self, image: np.ndarray) -> Transform:
        """A resize of an image of this size."""
        return self._get_resize(image, np.random.uniform(self.min_scale, self.max_scale))

    def _get_resize(self, image: np.ndarray, scale: float) -> Transform:
        old_shape = np.array(image.shape[:2])
        target = np.multiply((self.target_height, self.target_width), scale)
        new_shape = np.round(old_shape * (target / old_shape).min()).astype(int)
        return _resize(image, np.maximum(new_shape, 1).tolist(), self.interp)
