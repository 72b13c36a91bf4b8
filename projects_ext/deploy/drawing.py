"""Draws what an exported model finds, with Pillow alone."""

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .runtime import Detections, Result

OPACITY = 0.5
"""Of masks and label maps on the image."""

_GOLDEN_RATIO = (5**0.5 - 1) / 2

Colour = tuple[int, int, int]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def colour_of(index: int, name: str) -> Colour:
    """A bright colour that differs from its neighbours' (red, green, blue); black: background."""
    if name.lower() == "background":
        return 0, 0, 0
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN_RATIO % 1, 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw(pixels: np.ndarray, result: Result, class_names: Sequence[str]) -> Image.Image:
    """The image with boxes, masks, names and scores on it, or with its label map.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        result: what the model found in it.
        class_names: of the model.
    """
    if isinstance(result, Detections):
        return _instances(pixels, result, class_names)
    colours = np.array([colour_of(i, name) for i, name in enumerate(class_names)], dtype=np.float32)
    return Image.fromarray(_blended(pixels.astype(np.float32), colours[result]).astype(np.uint8))


def _blended(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    return (1 - OPACITY) * pixels + OPACITY * colours


def _instances(pixels: np.ndarray, found: Detections, class_names: Sequence[str]) -> Image.Image:
    painted = pixels.astype(np.float32)
    colours = [colour_of(int(index), class_names[index]) for index in found.classes]
    if found.masks is not None:
        for mask, colour in zip(found.masks, colours, strict=True):
            painted[mask] = _blended(painted[mask], np.array(colour, dtype=np.float32))
    image = Image.fromarray(painted.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    thickness = max(1, round(max(image.size) / 500))
    font = ImageFont.load_default(size=max(10, round(max(image.size) / 70)))
    # The best one last, on top of the others.
    for index in reversed(range(len(found))):
        box = [float(x) for x in found.boxes[index]]
        pen.rectangle(box, outline=colours[index], width=thickness)
        text = f"{class_names[found.classes[index]]} {found.scores[index]:.0%}"
        _label(pen, text, box, colours[index], font)
    return image


def _label(
    pen: ImageDraw.ImageDraw, text: str, box: Sequence[float], colour: Colour, font: Font
) -> None:
    """Above the box, or within it at the top of the image."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x, y = box[0], max(box[1] - (bottom - top) - 2, 0)
    pen.rectangle((x, y, x + right - left + 2, y + bottom - top + 2), fill=colour)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    pen.text((x + 1 - left, y + 1 - top), text, fill="black" if bright else "white", font=font)
