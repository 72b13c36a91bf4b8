"""Augmentations of semantic segmentation that Detectron2 lacks.

The published recipe is, in this order: :class:`RandomScale`, Detectron2's
``RandomCrop_CategoryAreaConstraint`` ("absolute", at most 0.75 of a category, 255 not counted),
Detectron2's ``RandomFlip``, :class:`PhotometricDistortion`, :class:`PadToSize`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from detectron2.data import transforms as T


class RandomScale(T.Augmentation):
    """Resizes to a random multiple of a base scale and keeps the aspect ratio.

    The factor is drawn uniformly from ``factors``. The image then is as large as fits: its longer
    edge into the base's longer one times the factor, its shorter edge into the shorter one.
    """

    def __init__(
        self,
        scale: tuple[int, int],
        factors: tuple[float, float] = (0.5, 2.0),
        interp: int = Image.Resampling.BILINEAR,
    ) -> None:
        """
        Args:
            scale: the two edges of the base scale in pixels, in any order.
            factors: lowest and highest factor.
            interp: how PIL interpolates the image; labels are never mixed.

        Raises:
            ValueError: factors or edges that are not positive, or in the wrong order.
        """
        super().__init__()
        if min(scale) <= 0 or not 0 < factors[0] <= factors[1]:
            raise ValueError(
                f"RandomScale needs positive edges and factors, the lower factor first: scale is "
                f"{tuple(scale)}, factors are {tuple(factors)}."
            )
        self.scale, self.interp = tuple(scale), interp
        self.factors = (factors[0], factors[1])

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """A resize of an image of this size."""
        height, width = image.shape[:2]
        factor = np.random.uniform(*self.factors)
        ratio = min(
            int(max(self.scale) * factor) / max(height, width),
            int(min(self.scale) * factor) / min(height, width),
        )
        new_height, new_width = (max(int(edge * ratio + 0.5), 1) for edge in (height, width))
        return T.ResizeTransform(height, width, new_height, new_width, self.interp)


class PhotometricDistortion(T.Augmentation):
    """Random brightness, contrast, saturation and hue, each in half of the images.

    In this order, with every number drawn uniformly:

    1. brightness: adds one of -32 to 32 to all values;
    2. contrast: multiplies all values by one of 0.5 to 1.5; in half of the images here, in the
       other half at the end;
    3. saturation (of hue, saturation, value): multiplied by one of 0.5 to 1.5, at most to full;
    4. hue: turned by a whole number of steps from -18 to 17 of 2 degrees each, which is -36 to 34
       degrees: the published delta of 18 counts in OpenCV's steps.

    After 1 and 2, values are cut to 0 to 255 and rounded down. 3 and 4 are computed in floating
    point and rounded once; the reference has hue and saturation of 8 bits on the way.
    """

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: int = 18,
    ) -> None:
        """
        Args:
            brightness_delta: largest change of a value.
            contrast_range, saturation_range: lowest and highest factor.
            hue_delta: in steps of 2 degrees.

        Raises:
            ValueError: a range that is negative or in the wrong order, or a negative delta.
        """
        super().__init__()
        ranges = {"contrast_range": contrast_range, "saturation_range": saturation_range}
        for name, (low, high) in ranges.items():
            if not 0 <= low <= high:
                raise ValueError(f"{name} has to be two factors, the lower first: {low}, {high}.")
        if brightness_delta < 0 or hue_delta < 0:
            raise ValueError(
                f"Deltas cannot be negative: brightness_delta is {brightness_delta}, hue_delta is "
                f"{hue_delta}."
            )
        self.brightness_delta, self.hue_delta = brightness_delta, hue_delta
        self.contrast_range = (contrast_range[0], contrast_range[1])
        self.saturation_range = (saturation_range[0], saturation_range[1])

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """A distortion with numbers drawn now, the same whenever it is applied.

        Raises:
            ValueError: the image is not uint8 with three channels.
        """
        _require_colour(image)
        brightness = self._maybe(-self.brightness_delta, self.brightness_delta, 0.0)
        contrast_first = bool(np.random.randint(2))
        contrast = self._maybe(*self.contrast_range, 1.0)
        saturation = self._maybe(*self.saturation_range, 1.0)
        steps = np.random.randint(-self.hue_delta, max(self.hue_delta, 1))
        hue = 2 * steps if np.random.randint(2) else 0
        return T.ColorTransform(Distortion(brightness, contrast, contrast_first, saturation, hue))

    @staticmethod
    def _maybe(low: float, high: float, neutral: float) -> float:
        """One of ``low`` to ``high`` in half of the calls, ``neutral`` in the others."""
        value = np.random.uniform(low, high)
        return float(value) if np.random.randint(2) else neutral


@dataclass(frozen=True)
class Distortion:
    """A change of colours, called with an image (H, W, 3), uint8, RGB or BGR.

    Attributes:
        brightness: added to every value.
        contrast: every value is multiplied by it.
        contrast_first: whether before saturation and hue, or else after them.
        saturation: factor of the saturation.
        hue: degrees from red towards green; from blue towards green if the image is BGR.
    """

    brightness: float = 0.0
    contrast: float = 1.0
    contrast_first: bool = True
    saturation: float = 1.0
    hue: float = 0.0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The changed image; the given one stays as it is."""
        _require_colour(image)
        image = _linear(image, 1.0, self.brightness)
        if self.contrast_first:
            image = _linear(image, self.contrast, 0.0)
        if self.saturation != 1 or self.hue % 360:
            image = turn_colours(image, self.saturation, self.hue)
        return image if self.contrast_first else _linear(image, self.contrast, 0.0)


def _require_colour(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"PhotometricDistortion is for uint8 images of three channels, not {image.dtype} "
            f"{image.shape}; read images as RGB or BGR."
        )


def _linear(image: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """``image * factor + offset``, cut to 0 to 255, rounded down."""
    if factor == 1 and offset == 0:
        return image
    # There are only 256 values: a table is faster than arithmetic on every pixel.
    values = np.arange(256, dtype=np.float32) * np.float32(factor) + np.float32(offset)
    return np.clip(values, 0, 255).astype(np.uint8)[image]


def turn_colours(image: np.ndarray, saturation: float, hue: float) -> np.ndarray:
    """Saturation times a factor, at most 1, and hue plus an angle; the value (maximum) stays.

    Args:
        image: (H, W, 3) uint8.
        saturation: the factor.
        hue: the angle in degrees.
    """
    # Plane by plane: numpy is slow along an axis of three.
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32)
    value = planes.max(axis=0)
    # Saturation is chroma / value: where the value is constant, chroma grows as saturation does.
    depths = (value - planes) * np.float32(saturation)
    chroma = np.maximum(depths.max(axis=0), np.float32(1e-6))  # never 0, for the divisions
    if saturation > 1:
        depths *= np.minimum(1, value / chroma)
        chroma = np.minimum(chroma, np.maximum(value, np.float32(1e-6)))
    if hue % 360:
        depths = _depths_at(_hue_in_sixths(depths, chroma) + np.float32(hue % 360 / 60), chroma)
    turned = (value - depths + np.float32(0.5)).astype(np.uint8)
    return np.ascontiguousarray(turned.transpose(1, 2, 0))


def _hue_in_sixths(depths: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """The hue (H, W) in sixths of the circle, 0 for red.

    Args:
        depths: (3, H, W), how far each channel is below the largest one.
        chroma: (H, W), the largest depth, positive.
    """
    red, green, blue = depths
    # A channel that is deep takes the hue away from its own corner.
    to_green = 2 + (red - blue) / chroma
    to_blue = 4 + (green - red) / chroma
    found = np.where(green == 0, to_green, to_blue)
    return np.where(red == 0, (blue - green) / chroma, found)


def _depths_at(sixths: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Depths (3, H, W) of hues in sixths of the circle; chroma is the largest of them.

    Red is full within a sixth of hue 0, green of hue 2, blue of hue 4 (Smith, "Color gamut
    transform pairs", SIGGRAPH 1978).
    """
    depths: np.ndarray = np.empty((3, *sixths.shape), dtype=np.float32)
    for channel, depth in enumerate(depths):
        away = sixths - np.float32(2 * channel)
        away = np.abs(away - 6 * np.rint(away / 6))
        np.multiply(np.clip(away - 1, 0, 1), chroma, out=depth)
    return depths


class PadToSize(T.Augmentation):
    """Pads to the right and below up to a size; what is larger stays as it is."""

    def __init__(
        self, size: tuple[int, int], pixel: float | Sequence[float] = 0, label: int = 255
    ) -> None:
        """
        Args:
            size: least (height, width) in pixels.
            pixel: the padded pixels, one value or one a channel, in the image's order: the mean
                that the model subtracts, rounded, where the reference pads what is normalised.
            label: the padded labels, ignored by the losses.

        Raises:
            ValueError: a size that is not positive.
        """
        super().__init__()
        if min(size) <= 0:
            raise ValueError(f"PadToSize needs a positive height and width, not {tuple(size)}.")
        self.size, self.label = tuple(size), label
        self.pixel = float(pixel) if isinstance(pixel, (int, float)) else tuple(pixel)

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """The padding of an image of this size."""
        below, right = (
            max(wanted - edge, 0) for wanted, edge in zip(self.size, image.shape[:2], strict=True)
        )
        if not (below or right):
            return T.NoOpTransform()
        return PadBelowAndRight(below=below, right=right, pixel=self.pixel, label=self.label)


class PadBelowAndRight(T.Transform):
    """Rows below and columns to the right; coordinates stay as they are."""

    def __init__(
        self, *, below: int, right: int, pixel: float | Sequence[float], label: int
    ) -> None:
        """
        Args:
            below, right: how many rows and columns.
            pixel, label: see :class:`PadToSize`.
        """
        super().__init__()
        self.below, self.right, self.pixel, self.label = below, right, pixel, label

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """The padded image (H, W) or (H, W, C)."""
        return self._pad(img, np.asarray(self.pixel))

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """The padded label map (H, W)."""
        return self._pad(segmentation, np.asarray(self.label))

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """The coordinates as they are."""
        return coords

    def inverse(self) -> T.Transform:
        """The crop that takes the padding away needs the size, which is not known here."""
        raise NotImplementedError("Padding below and to the right is not undone.")

    def _pad(self, array: np.ndarray, value: np.ndarray) -> np.ndarray:
        height, width = array.shape[:2]
        size = (height + self.below, width + self.right, *array.shape[2:])
        padded: np.ndarray = np.empty(size, dtype=array.dtype)
        padded[:] = value.astype(array.dtype)
        padded[:height, :width] = array
        return padded
