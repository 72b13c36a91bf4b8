"""Images side by side with headings and a legend, as used for label maps."""

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MIN_WIDTH, MAX_WIDTH = 320, 800
"""Of each part, in pixels."""
GAP, LINE = 8, 20
_FRAME = "white"

Colour = tuple[int, ...]


def side_by_side(
    parts: Sequence[tuple[str, np.ndarray]], legend: Sequence[tuple[str, Colour]] = ()
) -> Image.Image:
    """Put images of the same size side by side.

    Args:
        parts: heading and image (H, W, 3) uint8 of each.
        legend: names and their colours, shown below.
    """
    images = [resized(image) for _, image in parts]
    width, height = images[0].size
    total = len(parts) * (width + GAP) - GAP
    rows = _legend_rows(legend, total)
    canvas = Image.new("RGB", (total, height + LINE * (1 + len(rows))), _FRAME)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default()
    for index, (image, (heading, _)) in enumerate(zip(images, parts, strict=True)):
        left = index * (width + GAP)
        canvas.paste(image, (left, LINE))
        text = textwrap.shorten(heading, width // 6)
        pen.text((left + 4, 4), text, fill="black", font=font)
    for line, row in enumerate(rows):
        top = LINE + height + line * LINE
        for left, name, colour in row:
            pen.rectangle((left, top + 4, left + 12, top + 16), fill=colour, outline="black")
            pen.text((left + 18, top + 4), name, fill="black", font=font)
    return canvas


def overlay(
    image: np.ndarray, labels: np.ndarray, colours: np.ndarray, opacity: float
) -> np.ndarray:
    """Colours over an image.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W); values without a colour, such as 255, are shown dark.
        colours: (classes, 3) uint8.
        opacity: 0 to 1.

    Returns:
        (H, W, 3) uint8.
    """
    table = np.zeros((256, 3), dtype=np.float32)
    table[: len(colours)] = colours
    mixed = (1 - opacity) * image + opacity * table[labels]
    return mixed.round().astype(np.uint8)


def legend_of(
    labels: Sequence[np.ndarray], classes: Sequence[str], colours: np.ndarray
) -> list[tuple[str, Colour]]:
    """Names and colours of the classes that occur in label maps (H, W)."""
    values = np.unique(np.concatenate([np.unique(part) for part in labels]))
    shown = [int(value) for value in values if value < len(classes)]
    return [(classes[value], tuple(colours[value].tolist())) for value in shown]


def resized(image: np.ndarray) -> Image.Image:
    """An image (H, W, 3) of a width from :data:`MIN_WIDTH` to :data:`MAX_WIDTH`."""
    height, width = image.shape[:2]
    new_width = min(max(width, MIN_WIDTH), MAX_WIDTH)
    size = new_width, max(1, round(height * new_width / width))
    return Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)


def _legend_rows(
    legend: Sequence[tuple[str, Colour]], width: int
) -> list[list[tuple[int, str, Colour]]]:
    """Left edge, name and colour of each entry, broken into lines."""
    rows: list[list[tuple[int, str, Colour]]] = [[]]
    left = 4
    for name, colour in legend:
        needed = 34 + 7 * len(name)
        if left + needed > width and rows[-1]:
            rows.append([])
            left = 4
        rows[-1].append((left, name, colour))
        left += needed
    return rows
