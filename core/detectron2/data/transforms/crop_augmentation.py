"""Augmentations that crop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fvcore.transforms.transform import PadTransform, Transform, TransformList

from .augmentation import Augmentation
from .transform import CropTransform

__all__ = ["FixedSizeCrop", "RandomCrop", "RandomCrop_CategoryAreaConstraint"]


class RandomCrop(Augmentation):
    """Crops a window at a random place.

    Args:
        crop_type: how to read ``crop_size``: "absolute", a (height, width) in pixels; "relative",
            as fractions of the image; "relative_range", fractions drawn between the given ones and
            1; "absolute_range", pixels drawn between ``crop_size[0]`` and ``crop_size[1]`` for
            each edge.
        crop_size: two numbers.
    """

    def __init__(self, crop_type: str, crop_size: Sequence[float]) -> None:
        types = ("relative_range", "relative", "absolute", "absolute_range")
        if crop_type not in types:
            raise ValueError(f"crop_type is one of {', '.join(types)}; not {crop_type!r}.")
        self.crop_type, self.crop_size = crop_type, crop_size

    def get_transform(self, image: np.ndarray) -> Transform:
        """A crop of an image of this size."""
        return self._window(image.shape[:2], self.get_crop_size(image.shape[:2]))

    @staticmethod
    def _window(image_size: tuple[int, ...], crop_size: tuple[int, int]) -> CropTransform:
        """A window of a size at a random place."""
        (height, width), (crop_height, crop_width) = image_size, crop_size
        if crop_height > height or crop_width > width:
            raise ValueError(
                f"A crop of {crop_height} x {crop_width} pixels (height x width) does not fit into "
                f"an image of {height} x {width}; resize or pad the image first."
            )
        y0 = np.random.randint(height - crop_height + 1)
        x0 = np.random.randint(width - crop_width + 1)
        return CropTransform(x0, y0, crop_width, crop_height, orig_w=width, orig_h=height)

    def get_crop_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        """The (height, width) of a crop, in pixels, for an image of that (height, width)."""
        edges = tuple(image_size)
        if self.crop_type.startswith("relative"):
            fraction: np.ndarray = np.asarray(self.crop_size, dtype=np.float32)
            if self.crop_type == "relative_range":
                fraction = fraction + np.random.rand(2) * (1 - fraction)
            height, width = (int(e * f + 0.5) for e, f in zip(edges, fraction, strict=True))
        elif self.crop_type == "absolute":
            height, width = (min(int(c), e) for c, e in zip(self.crop_size, edges, strict=True))
        else:
            low, high = map(int, self.crop_size)
            if low > high:
                raise ValueError(
                    f"absolute_range needs crop_size = (min, max), got {low} > {high}."
                )
            height, width = (np.random.randint(min(e, low), min(e, high) + 1) for e in edges)
        return height, width


class RandomCrop_CategoryAreaConstraint(Augmentation):
    """A :class:`RandomCrop` that avoids windows filled by one category.

    Ten windows are tried; the last one is taken if none is good.

    Args:
        crop_type, crop_size: see :class:`RandomCrop`.
        single_category_max_area: largest fraction of the window that one category may cover; 1 for
            no limit.
        ignored_category: a label that does not count, such as 255.
    """

    def __init__(
        self,
        crop_type: str,
        crop_size: Sequence[float],
        single_category_max_area: float = 1.0,
        ignored_category: int | None = None,
    ) -> None:
        self.crop_aug = RandomCrop(crop_type, crop_size)
        self.crop_type, self.crop_size = crop_type, crop_size
        self.single_category_max_area = single_category_max_area
        self.ignored_category = ignored_category

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> Transform:
        """A crop of an image with this label map."""
        if self.single_category_max_area >= 1.0:
            return self.crop_aug.get_transform(image)
        if sem_seg is None:
            raise ValueError(
                "RandomCrop_CategoryAreaConstraint needs a semantic label map; the data set has no "
                "'sem_seg_file_name'."
            )
        for _ in range(10):
            size = self.crop_aug.get_crop_size(sem_seg.shape)
            window = self.crop_aug._window(sem_seg.shape, size)
            if self._is_mixed(window.apply_image(sem_seg)):
                break
        return window

    def _is_mixed(self, labels: np.ndarray) -> bool:
        values, counts = np.unique(labels, return_counts=True)
        if self.ignored_category is not None:
            counts = counts[values != self.ignored_category]
        return len(counts) > 1 and counts.max() < counts.sum() * self.single_category_max_area


class FixedSizeCrop(Augmentation):
    """Crops or pads to a fixed size.

    The window lies at a random place where the image is larger; padding goes right and below.

    Args:
        crop_size: (height, width) in pixels.
        pad: False to only crop, so that smaller images stay small.
        pad_value: of the padded pixels.
        seg_pad_value: of the padded labels.
    """

    def __init__(
        self,
        crop_size: tuple[int, int],
        pad: bool = True,
        pad_value: float = 128.0,
        seg_pad_value: int = 255,
    ) -> None:
        self.crop_size, self.pad = crop_size, pad
        self.pad_value, self.seg_pad_value = pad_value, seg_pad_value

    def _get_crop(self, image: np.ndarray) -> Transform:
        size = np.array(image.shape[:2])
        slack = np.maximum(size - self.crop_size, 0)
        y0, x0 = np.round(slack * np.random.uniform(0.0, 1.0)).astype(int)
        height, width = self.crop_size
        return CropTransform(x0, y0, width, height, int(size[1]), int(size[0]))

    def _get_pad(self, image: np.ndarray) -> Transform:
        size = np.array(image.shape[:2])
        missing = np.maximum(np.array(self.crop_size) - size, 0)
        rest = np.minimum(size, self.crop_size)
        values = {"pad_value": self.pad_value, "seg_pad_value": self.seg_pad_value}
        return PadTransform(0, 0, missing[1], missing[0], rest[1], rest[0], **values)

    def get_transform(self, image: np.ndarray) -> TransformList:
        """A crop, then the padding, of an image of this size."""
        steps = [self._get_crop(image)]
        if self.pad:
            steps.append(self._get_pad(image))
        return TransformList(steps)
