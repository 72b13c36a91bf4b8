"""Colours of classes."""

import numpy as np


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
