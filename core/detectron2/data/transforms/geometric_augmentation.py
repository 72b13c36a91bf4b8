"""Augmentations that rotate, zoom, and crop around objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fvcore.transforms.transform import NoOpTransform, Transform

from detectron2.structures import Boxes, pairwise_iou

from .augmentation import Augmentation
from .transform import CropTransform, ExtentTransform, RotationTransform

__all__ = ["MinIoURandomCrop", "RandomExtent", "RandomRotation"]


class RandomRotation(Augmentation):
    """Rotates by a random angle, counter-clockwise.

    Args:
        angle: in degrees; [min, max], or the angles to choose from, or a single one.
        expand: see :class:`RotationTransform`.
        center: of the rotation, relative to the image's size, (0, 0) being its upper left corner:
            [[min x, min y], [max x, max y]], or the centres to choose from, or a single one; by
            default the middle. Of no effect with ``expand``.
        sample_style: "range" or "choice", how to read ``angle`` and ``center``.
        interp: see :class:`RotationTransform`.
    """

    def __init__(
        self,
        angle: Any,
        expand: bool = True,
        center: Any = None,
        sample_style: str = "range",
        interp: int | None = None,
    ) -> None:
        assert sample_style in ("range", "choice"), (
            f"sample_style is 'range' or 'choice', not {sample_style!r}."
        )
        self.is_range = sample_style == "range"
        self.sample_style, self.expand, self.interp = sample_style, expand, interp
        self.angle: Any = (angle, angle) if np.isscalar(angle) else angle
        single = center is not None and np.isscalar(center[0])
        self.center: Any = (center, center) if single else center

    def get_transform(self, image: np.ndarray) -> Transform:
        """A rotation of an image of this size, or none if the angle is 0."""
        height, width = image.shape[:2]
        angle, center = self._draw()
        if angle % 360 == 0:
            return NoOpTransform()
        if center is not None:
            center = (width * center[0], height * center[1])
        return RotationTransform(height, width, angle, self.expand, center, self.interp)

    def _draw(self) -> tuple[float, Any]:
        """An angle, and a relative centre or None."""
        if not self.is_range:
            angle = float(np.random.choice(self.angle))
            if self.center is None:
                return angle, None
            return angle, self.center[int(np.random.choice(len(self.center)))]
        angle = np.random.uniform(*self.angle)
        if self.center is None:
            return angle, None
        low, high = self.center
        return angle, tuple(np.random.uniform(low[axis], high[axis]) for axis in (0, 1))


class RandomExtent(Augmentation):
    """Takes a random rectangle of the image's shape, which may reach beyond it: a zoom in or out.

    Args:
        scale_range: smallest and largest size of the rectangle relative to the image.
        shift_range: (x, y) range of the rectangle's centre relative to the image's size; it moves
            by at most half of that in either direction.
    """

    def __init__(self, scale_range: Sequence[float], shift_range: Sequence[float]) -> None:
        self.scale_range, self.shift_range = scale_range, shift_range

    def get_transform(self, image: np.ndarray) -> Transform:
        """An extract of an image of this size, at its own scale."""
        size = np.array(image.shape[1::-1], dtype=np.float64)
        half = 0.5 * size * np.random.uniform(self.scale_range[0], self.scale_range[1])
        shift = [amount * (np.random.rand() - 0.5) for amount in self.shift_range]
        middle = size * (np.array(shift) + 0.5)
        rectangle = np.concatenate([middle - half, middle + half])
        width, height = rectangle[2:] - rectangle[:2]
        return ExtentTransform(tuple(rectangle.tolist()), (int(height), int(width)))


class MinIoURandomCrop(Augmentation):
    """Crops so that all objects overlap with the window by a random minimum.

    Windows have aspect ratios from 1/2 to 2 and hold the centre of at least one object. It is the
    sampling of SSD (https://arxiv.org/abs/1512.02325, section 2.2).

    Args:
        min_ious: minimal overlaps of every box with the window; one of them, 0, or no crop at all
            is drawn.
        min_crop_size: smallest side of the window relative to the image's.
        mode_trials: how many overlaps are drawn.
        crop_trials: how many windows are tried for each of them.
    """

    def __init__(
        self,
        min_ious: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
        min_crop_size: float = 0.3,
        mode_trials: int = 1000,
        crop_trials: int = 50,
    ) -> None:
        self.min_ious, self.min_crop_size = min_ious, min_crop_size
        self.sample_mode = (1, *min_ious, 0)
        self.mode_trials, self.crop_trials = mode_trials, crop_trials

    def get_transform(self, image: np.ndarray, boxes: np.ndarray | None) -> Transform:
        """A crop of an image with these boxes (N x 4, XYXY), or none."""
        if boxes is None:
            return NoOpTransform()
        truth = boxes.reshape(-1, 4)
        for _ in range(self.mode_trials):
            min_iou = np.random.choice(self.sample_mode)
            if min_iou == 1:
                break
            for _ in range(self.crop_trials):
                window = self._draw_window(*image.shape[:2])
                if window is not None and self._fits(window, truth, min_iou):
                    left, top, width, height = window
                    return CropTransform(int(left), int(top), int(width), int(height))
        return NoOpTransform()

    def _draw_window(self, height: int, width: int) -> tuple[float, ...] | None:
        """Left, top, width and height, or None where they are out of shape."""
        wide = np.random.uniform(self.min_crop_size * width, width)
        high = np.random.uniform(self.min_crop_size * height, height)
        if not 0.5 <= high / wide <= 2:
            return None
        # NumPy's bounds are (this, 1).
        left, top = np.random.uniform(width - wide), np.random.uniform(height - high)
        return left, top, wide, high

    @staticmethod
    def _fits(window: tuple[float, ...], boxes: np.ndarray, min_iou: float) -> bool:
        left, top, wide, high = window
        corners = np.array([left, top, left + wide, top + high]).astype(int)
        if (corners[:2] == corners[2:]).any():
            return False
        if len(boxes) == 0:
            return True
        overlaps = pairwise_iou(
            Boxes(torch.as_tensor(corners[None], dtype=torch.float32)),
            Boxes(torch.as_tensor(boxes, dtype=torch.float32)),
        )
        if float(overlaps.min()) < min_iou:
            return False
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = (centers > corners[:2]) & (centers < corners[2:])
        return bool(inside.all(axis=1).any())
