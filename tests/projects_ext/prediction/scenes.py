"""Scenes whose objects can be told by their colours, and a detector that does."""

from typing import Any

import numpy as np
from PIL import Image

from projects_ext.prediction.objects import MaskCrop, Objects

CLASS_NAMES = ["disc", "bar"]
Truth = dict[int, np.ndarray]
"""The mask of each object by its red value; even ones are discs."""


def scene(height: int, width: int, sizes: list[int], seed: int) -> tuple[Image.Image, Truth]:
    """Discs and diagonal bars, one behind the other, on black.

    Args:
        height, width: in pixels.
        sizes: of the objects; the last is in front.
        seed: of their places.
    """
    random = np.random.RandomState(seed)
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width]
    for index, size in enumerate(sizes):
        y, x = random.randint(0, height), random.randint(0, width)
        if index % 2:
            inside = (np.abs((columns - x) - (rows - y)) < size / 8) & (np.abs(rows - y) < size / 2)
        else:
            inside = (columns - x) ** 2 + (rows - y) ** 2 < size**2 / 4
        pixels[inside] = (index + 1, 255, 255 - index)
    masks = {value: pixels[:, :, 0] == value for value in range(1, len(sizes) + 1)}
    return Image.fromarray(pixels), {value: mask for value, mask in masks.items() if mask.any()}


class Detections:
    """What the detector answers, in NumPy, as an exported model does."""

    def __init__(self, found: dict[int, np.ndarray], with_masks: bool) -> None:
        masks = list(found.values())
        self.boxes = np.array([MaskCrop.of(mask).corners for mask in masks], dtype=np.float32)
        self.scores = np.array([0.9 - value / 1000 for value in found], dtype=np.float32)
        self.classes = np.array([value % 2 for value in found], dtype=np.int64)
        self.masks = np.array(masks) if with_masks else None


class ColourDetector:
    """Finds each object by its colour, as far as it is in the image.

    Args:
        with_masks: or boxes alone.
    """

    kind, class_names, metadata = "instances", CLASS_NAMES, None

    def __init__(self, with_masks: bool = True) -> None:
        self.with_masks = with_masks
        self.sizes: list[tuple[int, int]] = []

    def prepare(self, image: Any) -> dict[str, Any]:
        pixels = np.asarray(image)
        return {"image": pixels, "height": pixels.shape[0], "width": pixels.shape[1]}

    def predict(self, inputs: list[dict[str, Any]]) -> list[Detections]:
        found = []
        for given in inputs:
            red, green = given["image"][:, :, 0], given["image"][:, :, 1]
            self.sizes.append(red.shape)
            masks = {int(value): (red == value) & (green == 255) for value in np.unique(red)}
            found.append(
                Detections({v: m for v, m in masks.items() if v and m.any()}, self.with_masks)
            )
        return found


class RedLabels(ColourDetector):
    """A label map: the red values; what is at a tile's very edge it gets wrong."""

    kind, class_names = "semantic", [str(index) for index in range(20)]

    def predict(self, inputs: list[dict[str, Any]]) -> list[np.ndarray]:  # type: ignore[override]
        maps = []
        for given in inputs:
            labels = given["image"][:, :, 0].astype(np.int64)
            labels[[0, -1]] = labels[:, [0, -1]] = 19
            maps.append(labels)
        return maps


def masks_of(objects: Objects) -> list[np.ndarray]:
    """At the size of the image."""
    assert objects.masks is not None
    return [mask.within(0, 0, objects.width, objects.height) for mask in objects.masks]


class BrightDetector(ColourDetector):
    """Finds the bright pixels, as one object; it stops with an exception at a given image.

    Args:
        stop: raised instead of predicting on the image of this number, if any.
    """

    def __init__(self, stop: dict[int, BaseException] | None = None) -> None:
        super().__init__()
        self.count, self.stop = 0, stop or {}

    def predict(self, inputs: list[dict[str, Any]]) -> list[Detections]:
        found = []
        for given in inputs:
            if self.count in self.stop:
                raise self.stop[self.count]
            self.count += 1
            mask = given["image"].max(axis=2) > 100
            found.append(Detections({2: mask} if mask.any() else {}, True))
        return found
