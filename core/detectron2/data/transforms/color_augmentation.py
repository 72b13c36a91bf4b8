"""Augmentations of colours; they leave coordinates and label maps as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from fvcore.transforms.transform import BlendTransform, Transform

from .augmentation import Augmentation

__all__ = ["RandomBrightness", "RandomContrast", "RandomLighting", "RandomSaturation"]


class _RandomBlend(Augmentation):
    """Blends the image with something derived from it, by a random weight.

    Args:
        intensity_min, intensity_max: limits of the image's own weight. Below 1 is less, 1 leaves
            the image as it is, above 1 is more of the property.
    """

    def __init__(self, intensity_min: float, intensity_max: float) -> None:
        self.intensity_min, self.intensity_max = intensity_min, intensity_max

    def _blend_with(self, source: Any) -> BlendTransform:
        weight = np.random.uniform(self.intensity_min, self.intensity_max)
        return BlendTransform(src_image=source, src_weight=1 - weight, dst_weight=weight)


class RandomBrightness(_RandomBlend):
    """Blends the image with black, by a weight between ``intensity_min`` and ``intensity_max``."""

    def get_transform(self, image: np.ndarray) -> Transform:
        """A change of brightness."""
        return self._blend_with(0)


class RandomContrast(_RandomBlend):
    """Blends with the mean value, by a weight between ``intensity_min`` and ``intensity_max``."""

    def get_transform(self, image: np.ndarray) -> Transform:
        """A change of contrast."""
        return self._blend_with(image.mean())


class RandomSaturation(_RandomBlend):
    """Blends with the gray image, by a weight between ``intensity_min`` and ``intensity_max``.

    The gray value is that of an RGB image, whatever order the channels have.
    """

    def get_transform(self, image: np.ndarray) -> Transform:
        """A change of saturation."""
        if image.shape[-1] != 3:
            raise ValueError(f"Saturation needs a colour image; this has the shape {image.shape}.")
        return self._blend_with(image.dot([0.299, 0.587, 0.114])[:, :, None])


class RandomLighting(Augmentation):
    """Shifts the colours along the principal components of ImageNet's RGB values.

    Krizhevsky et al. 2012, section 4.1. The image is RGB, in [0, 255].

    Args:
        scale: standard deviation of the weights of the components.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.eigen_vecs = np.array(
            [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
        )
        self.eigen_vals = np.array([0.2175, 0.0188, 0.0045])

    def get_transform(self, image: np.ndarray) -> Transform:
        """A shift of the colours."""
        if image.shape[-1] != 3:
            raise ValueError(f"Lighting needs a colour image; this has the shape {image.shape}.")
        weights = np.random.normal(scale=self.scale, size=3)
        shift = self.eigen_vecs @ (weights * self.eigen_vals)
        return BlendTransform(src_image=shift, src_weight=1.0, dst_weight=1.0)
