"""Predictions drawn on images, each class in its own colour, so that videos do not flicker.

Detectron2's ``Visualizer`` needs each mask at the size of the image; here each object costs its own
pixels only, which large images and videos need.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .objects import Found, MaskCrop, Objects

Colour = tuple[int, int, int]

MASK_OPACITY, LABEL_MAP_OPACITY, GROUND_OPACITY = 0.45, 0.5, 0.7
NO_CLASS = 255
"""In label maps: the pixels that no class is given to; they stay as they are."""


def draw(
    image: Image.Image,
    found: Found,
    names: Sequence[str],
    colours: Sequence[Colour],
    extent: int | None = None,
) -> None:
    """Draw on an image.

    Args:
        image: RGB; it is changed.
        found: objects or a label map, of the image's size.
        names: of the classes.
        colours: of the classes, red, green and blue from 0 to 255.
        extent: how much of the image one looks at at a time, in pixels, which decides on the size
            of the letters; None: all of it.
    """
    size = letter_size(image, extent)
    if isinstance(found, Objects):
        draw_objects(image, found, names, colours, size)
    else:
        draw_label_map(image, found, names, colours, size)


def draw_objects(
    image: Image.Image, objects: Objects, names: Sequence[str], colours: Sequence[Colour], size: int
) -> None:
    """Draw masks, boxes, and labels such as "disc 97%"; small objects above large ones.

    Args:
        image: RGB; it is changed.
        objects: in it.
        names, colours: of the classes.
        size: of the letters, in pixels.
    """
    width = max(1, round(size / 8))
    areas = np.prod(objects.boxes[:, 2:] - objects.boxes[:, :2], axis=1)
    order = np.argsort(-areas, kind="stable").tolist()
    for index in order:
        colour = colours[int(objects.classes[index])]
        if objects.masks is not None:
            _blend_mask(image, objects.masks[index], colour)
    pen = ImageDraw.Draw(image)
    for index in order:
        pen.rectangle(_rectangle(objects.boxes[index], image, width),
                      outline=colours[int(objects.classes[index])], width=width)  # fmt: skip
    taken = np.zeros((0, 4))
    for index in reversed(order):  # small objects have the first choice of a place
        category = int(objects.classes[index])
        text = f"{names[category]} {100 * float(objects.scores[index]):.0f}%"
        taken = _write(image, text, objects.boxes[index], size, colours[category], taken)


def draw_label_map(
    image: Image.Image,
    labels: np.ndarray,
    names: Sequence[str],
    colours: Sequence[Colour],
    size: int,
) -> None:
    """Colour each pixel by its class, and list the classes that occur in a corner.

    Args:
        image: RGB; it is changed.
        labels: (H, W) of integers; what is no class stays as it is.
        names, colours: of the classes.
        size: of the letters, in pixels.
    """
    palette = np.zeros((len(colours) + 1, 3), dtype=np.uint8)
    palette[:-1] = colours
    present: set[int] = set()
    for top in range(0, image.height, 512):  # in strips, for little memory
        strip = np.asarray(labels[top : top + 512])
        inside = (strip >= 0) & (strip < len(colours))
        present.update(np.unique(strip[inside]).tolist())
        coloured = Image.fromarray(palette[np.where(inside, strip, len(colours))])
        opacity = Image.fromarray((inside * round(255 * LABEL_MAP_OPACITY)).astype(np.uint8))
        image.paste(coloured, (0, top), opacity)
    _legend(image, [(names[index], colours[index]) for index in sorted(present)], size)


def letter_size(image: Image.Image, extent: int | None = None) -> int:
    """Of the text on an image, in pixels; ``extent`` as for :func:`draw`."""
    return min(max(10, round(min(*image.size, extent or 10**6) / 40)), 30)


@functools.lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _blend_mask(image: Image.Image, mask: MaskCrop, colour: Colour) -> None:
    """Colour the pixels of a mask, its rim more strongly."""
    if not all(mask.shape):
        return
    pixels = mask.pixels
    framed = np.pad(pixels, 1)
    inner = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    opacity = np.where(inner, round(255 * MASK_OPACITY), 255) * pixels
    image.paste(colour, mask.corners, Image.fromarray(opacity.astype(np.uint8)))


def _rectangle(box: np.ndarray, image: Image.Image, width: int) -> list[int]:
    """The outer edges of a box's line, at least partly in the image."""
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    x0, y0 = min(max(x0, 0), image.width - 1), min(max(y0, 0), image.height - 1)
    return [x0, y0, max(min(x1, image.width) - 1, x0), max(min(y1, image.height) - 1, y0)]


def _write(
    image: Image.Image, text: str, box: np.ndarray, size: int, colour: Colour, taken: np.ndarray
) -> np.ndarray:
    """A label on a dark ground, above, below or in a box, where it covers no other if possible.

    Args:
        image: to write on.
        text, size: of the letters.
        box: x0, y0, x1, y1 in pixels.
        colour: of the class.
        taken: (n, 4) the labels so far.

    Returns:
        those and this one.
    """
    patch = _patch(text, size)
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    right, low = max(image.width - patch.width, 0), max(image.height - patch.height, 0)
    places = []
    for x, y in ((x0, y0 - patch.height), (x0, y1), (x1 - patch.width, y0 - patch.height),
                 (x0, y0), (x0, y1 - patch.height)):  # fmt: skip
        x, y = min(max(x, 0), right), min(max(y, 0), low)
        place = np.array([[x, y, x + patch.width, y + patch.height]])
        apart = (place[:, 2:] <= taken[:, :2]) | (taken[:, 2:] <= place[:, :2])
        places.append(place)
        if apart.any(axis=1).all():
            break
    else:
        place = places[0]
    _stamp(image, patch, (int(place[0, 0]), int(place[0, 1])), _legible(colour))
    return np.concatenate([taken, place])


def _patch(text: str, size: int) -> Image.Image:
    """Letters, white on black, with a margin."""
    font = _font(size)
    ascent, descent = font.getmetrics()
    pad = max(1, size // 6)
    patch = Image.new("L", (round(font.getlength(text)) + 2 * pad, ascent + descent + pad))
    ImageDraw.Draw(patch).text((pad, pad // 2), text, fill=255, font=font)
    return patch


def _stamp(image: Image.Image, patch: Image.Image, at: tuple[int, int], colour: Colour) -> None:
    ground = Image.new("L", patch.size, round(255 * GROUND_OPACITY))
    image.paste((0, 0, 0), at, ground)
    image.paste(colour, at, patch)


def _legible(colour: Colour) -> Colour:
    """The colour with as much white in it as it takes to be read on black."""
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    white = max(0.0, (150 - luminance) / (255 - luminance + 1e-6))
    red, green, blue = (round(part + white * (255 - part)) for part in colour)
    return red, green, blue


def _legend(image: Image.Image, entries: Sequence[tuple[str, Colour]], size: int) -> None:
    """Names beside their colours, one below the other, from the upper left corner on."""
    y = 0
    for name, colour in entries:
        patch = _patch(name, size)
        image.paste(colour, (0, y, patch.height, y + patch.height))
        _stamp(image, patch, (patch.height, y), _legible(colour))
        y += patch.height
