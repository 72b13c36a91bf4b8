"""Resizing as OpenCV does it, without OpenCV.

Pillow filters when it shrinks and rounds weights in another way than OpenCV, and published weights
lose a few tenths of AP on images that were not resized as in their training. What OpenCV's
``resize`` computes for 8-bit images with ``INTER_LINEAR`` is integer arithmetic, repeated here bit
by bit: weights of 11 bits, products of a row cut to 15 bits, those of a column to 8 after rounding.
"""

from typing import Any

import numpy as np
from PIL import Image

from detectron2.data import transforms as T

_ONE = 2048
"""A weight of 1."""


class OpenCVResizeShortestEdge(T.ResizeShortestEdge):
    """Detectron2's ``ResizeShortestEdge``, to the same sizes, with OpenCV's pixels."""

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """A resize of an image of this size; none where the size is right already."""
        transform = super().get_transform(image)
        if not isinstance(transform, T.ResizeTransform):
            return transform
        before, after = (transform.h, transform.w), (transform.new_h, transform.new_w)
        return T.NoOpTransform() if before == after else OpenCVResizeTransform(*before, *after)


class OpenCVResizeTransform(T.ResizeTransform):
    """Resizes as ``cv2.resize`` does: bilinear for images, nearest neighbour for label maps.

    Args:
        h, w: size of what it is applied to, in pixels.
        new_h, new_w: the size that it gets.
    """

    def __init__(self, h: int, w: int, new_h: int, new_w: int) -> None:
        super().__init__(h, w, new_h, new_w, Image.Resampling.BILINEAR)

    def apply_image(self, img: np.ndarray, interp: Any = None) -> np.ndarray:
        """Resize an image.

        Args:
            img: (H, W) or (H, W, C). Bit by bit OpenCV's result for uint8; other types are
                interpolated in floating point, by the same weights.
            interp: NEAREST takes pixels as they are; anything else is bilinear.

        Raises:
            ValueError: the image has another size than the transform is for.
        """
        if img.shape[:2] != (self.h, self.w):
            raise ValueError(
                f"this resize is for images of {self.h} x {self.w} pixels (height x width), the "
                f"image has {img.shape[0]} x {img.shape[1]}"
            )
        if interp == Image.Resampling.NEAREST:
            rows, columns = _nearest(self.h, self.new_h), _nearest(self.w, self.new_w)
            return img[rows][:, columns]
        if img.dtype != np.uint8:
            return super().apply_image(img)
        return resize_bilinear(img, self.new_h, self.new_w)

    def inverse(self) -> "OpenCVResizeTransform":
        """The transform back to the old size."""
        return OpenCVResizeTransform(self.new_h, self.new_w, self.h, self.w)


def resize_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """What ``cv2.resize(image, (width, height))`` returns.

    Args:
        image: (H, W) or (H, W, C), uint8.
        height, width: the size wanted, in pixels.
    """
    channels = int(np.prod(image.shape[2:]))
    lines = image.reshape(image.shape[0], -1)
    left, right, left_weight, right_weight = _columns(image.shape[1], width, channels)
    first = np.empty(width * channels, dtype=np.int32)
    second = np.empty_like(first)
    narrow: np.ndarray = np.empty((len(lines), width * channels), dtype=np.int32)
    # Line by line, so that everything stays in the cache of the processor.
    for line, out in zip(lines, narrow, strict=True):
        np.multiply(line[left], left_weight, out=first)
        np.multiply(line[right], right_weight, out=second)
        np.right_shift(np.add(first, second, out=first), 4, out=out)
    resized: np.ndarray = np.empty((height, width * channels), dtype=np.uint8)
    for out, above, below, above_weight, below_weight in zip(
        resized, *_rows(image.shape[0], height), strict=True
    ):
        np.right_shift(np.multiply(narrow[above], above_weight, out=first), 16, out=first)
        np.right_shift(np.multiply(narrow[below], below_weight, out=second), 16, out=second)
        first += second
        first += 2
        out[:] = np.right_shift(first, 2, out=first)
    return resized.reshape(height, width, *image.shape[2:])


def _positions(length: int, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """For every new pixel the old one at or before its centre, and how far beyond (float32)."""
    scale = 1.0 / (new_length / length)
    centres = ((np.arange(new_length) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(centres)
    return before.astype(np.int64), centres - before


def _weights(beyond: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integer weights of the pixel before and the one after."""
    return _fixed_point(np.float32(1) - beyond), _fixed_point(beyond)


def _fixed_point(share: np.ndarray) -> np.ndarray:
    return np.rint(share * np.float32(_ONE)).astype(np.int32)


def _columns(length: int, new_length: int, channels: int) -> tuple[np.ndarray, ...]:
    """Indices into a line of pixels and their channels, left and right, and both weights.

    Beyond the first and the last centre, a pixel of the border is taken alone.
    """
    before, beyond = _positions(length, new_length)
    outside = (before < 0) | (before >= length - 1)
    beyond = np.where(outside, np.float32(0), beyond)
    left = np.clip(before, 0, length - 1)
    right = np.minimum(left + 1, length - 1)
    indices = [(at[:, None] * channels + np.arange(channels)).ravel() for at in (left, right)]
    return (*indices, *(np.repeat(weight, channels) for weight in _weights(beyond)))


def _rows(length: int, new_length: int) -> tuple[np.ndarray, ...]:
    """Line above, line below and both weights; beyond the border, both are the line there."""
    before, beyond = _positions(length, new_length)
    above, below = (np.clip(before + step, 0, length - 1) for step in (0, 1))
    return (above, below, *_weights(beyond))


def _nearest(length: int, new_length: int) -> np.ndarray:
    """For every new pixel the old one: at the new one's corner, not at its centre."""
    scale = 1.0 / (new_length / length)
    return np.minimum(np.floor(np.arange(new_length) * scale).astype(np.int64), length - 1)
