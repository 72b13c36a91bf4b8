"""Colours of classes."""

import colorsys
from collections.abc import Sequence

import numpy as np

_GOLDEN_RATIO = (5**0.5 - 1) / 2
_STRENGTHS = ((0.9, 1.0), (0.55, 1.0), (0.9, 0.65))
"""Saturation and value, in turns."""


def class_colours(count: int = 256) -> list[tuple[int, int, int]]:
    """The colours (red, green, blue) that PASCAL VOC gives to the labels 0, 1, …; at most 256.

    The three lowest bits of a label are the highest bits of the three colours, the next three bits
    the second highest, and so on: all colours differ, and small labels most.
    """
    labels = np.arange(count)
    colours = np.zeros((count, 3), dtype=int)
    for level in range(3):
        for channel in range(3):
            bit = labels >> (3 * level + channel) & 1
            colours[:, channel] |= bit << (7 - level)
    return [(int(red), int(green), int(blue)) for red, green, blue in colours]


def distinct_colours(classes: Sequence[str]) -> list[tuple[int, int, int]]:
    """Bright colours (red, green, blue) for any number of classes; black for the background.

    Steps of the golden ratio around the circle of hues keep each colour away from those before it.
    """
    return [
        (0, 0, 0) if name.lower() == "background" else _bright(index)
        for index, name in enumerate(classes)
    ]


def _bright(index: int) -> tuple[int, int, int]:
    saturation, value = _STRENGTHS[index % len(_STRENGTHS)]
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN_RATIO % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
