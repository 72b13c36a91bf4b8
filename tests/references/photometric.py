"""Changes of colour, pixel by pixel with Python's own colour conversions."""

import colorsys
import math

import numpy as np


def literal_distortion(
    image: np.ndarray,
    brightness: float,
    contrast: float,
    contrast_first: bool,
    saturation: float,
    hue: float,
) -> np.ndarray:
    """The distorted (H, W, 3) uint8 image."""
    output = np.empty_like(image)
    for place in np.ndindex(*image.shape[:2]):
        pixel = [cut(value + brightness) for value in image[place].tolist()]
        if contrast_first:
            pixel = [cut(value * contrast) for value in pixel]
        angle, share, value = colorsys.rgb_to_hsv(*(x / 255 for x in pixel))
        share = min(share * saturation, 1.0)
        turned = colorsys.hsv_to_rgb((angle + hue / 360) % 1.0, share, value)
        pixel = [round(x * 255) for x in turned]
        if not contrast_first:
            pixel = [cut(value * contrast) for value in pixel]
        output[place] = pixel
    return output


def cut(value: float) -> int:
    return math.floor(min(max(value, 0.0), 255.0))
