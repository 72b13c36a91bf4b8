"""Images of a data set with their annotations, for galleries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detectron2.data.detection_utils import read_image
from projects_ext.data.statistics import LabelMapStatistics, ObjectStatistics

from .cards import MOST_SHAPES, TRUTH, outline
from .gallery import MAX_SIDE, Card, Layer, Picture, Shape, Thumbnails

OBJECT_LAYERS = (Layer(TRUTH, "Annotations"),)
LABEL_LAYERS = (Layer(TRUTH, "Labels"),)
OPACITY = 160
"""Of the colours of labels over an image, of 255."""

CONTEXT, SMALLEST_CROP = 4.0, 96
"""Small objects are shown in a part of the image, so many times as large, and so many pixels."""

Record = Mapping[str, Any]
Window = tuple[int, int, int, int]
"""Left, upper, right and lower end of a part of an image."""


def read_picture(path: str, unreadable: set[str]) -> Image.Image | None:
    """An image as Detectron2 reads it; None, and its name is noted, if it cannot be read."""
    try:
        return Image.fromarray(read_image(path, format="RGB"))
    except Exception:  # whatever PIL says of a broken file
        unreadable.add(Path(path).name)
        return None


@dataclass
class ObjectCards:
    """Draws records of objects.

    Attributes:
        data: their figures.
        records: of the data set.
        thumbnails: where images go.
        unreadable: names of images that could not be read.
    """

    data: ObjectStatistics
    records: Sequence[Record]
    thumbnails: Thumbnails
    unreadable: set[str] = field(default_factory=set)
    layers: tuple[Layer, ...] = OBJECT_LAYERS

    def card(self, image: int, note: str = "", odd: Sequence[int] = ()) -> Card | None:
        """An image with its objects.

        Args:
            image: its index.
            note: one line; by default the number of objects.
            odd: indices of objects that are drawn in another colour.
        """
        record = self.records[image]
        picture = read_picture(str(record["file_name"]), self.unreadable)
        if picture is None:
            return None
        objects = np.flatnonzero(self.data.images == image)
        # Of all images there may be very many.
        places = np.array(odd, dtype=int)
        odd = places[self.data.images[places] == image].tolist()
        # Odd ones last, above the others.
        order = sorted(objects.tolist(), key=lambda place: (place in odd, -self.data.areas[place]))
        window = (0, 0, *picture.size)
        if odd:
            note = note or self._about(odd[0])
            window = around(self.data.boxes[odd[0]], *picture.size)
        shapes = [self._shape(record, place, place in odd, picture.size, window) for place in order]
        names = [self.data.classes[label] for label in sorted(set(self.data.labels[objects]))]
        said = note or f"{len(objects)} object{'' if len(objects) == 1 else 's'}"
        width, height = window[2] - window[0], window[3] - window[1]
        part = picture.crop(window)
        if max(part.size) < MAX_SIDE / 2 and window[2:] != picture.size:
            scale = MAX_SIDE / 2 / max(part.size)
            part = part.resize((round(width * scale), round(height * scale)))
        src = self.thumbnails.add(part)
        name = Path(str(record["file_name"])).name
        return Card(src, width, height, name, said, names, shapes[-MOST_SHAPES:])

    def _about(self, place: int) -> str:
        """The class and the size of an object."""
        width, height = self.data.edges[place]
        return f"{self.data.classes[self.data.labels[place]]}, {width:.3g} x {height:.3g} pixels"

    def _shape(
        self, record: Record, place: int, odd: bool, size: tuple[int, int], window: Window
    ) -> Shape:
        """An object relative to the window; ``size`` is the image's width and height."""
        annotation = record["annotations"][int(self.data.places[place])]
        x0, y0, x1, y1 = self.data.boxes[place].tolist()
        left, top = window[:2]
        path = ""
        if annotation.get("segmentation"):
            mask = {"segmentation": annotation["segmentation"]}
            path = outline(mask, (size[1], size[0]), (left, top))
        label = self.data.classes[self.data.labels[place]]
        tone = "wrong" if odd else "truth"
        return Shape(TRUTH, tone, label, (x0 - left, y0 - top, x1 - x0, y1 - y0), path)


def around(box: np.ndarray, width: int, height: int) -> Window:
    """The part of an image to show an object in: all of it, unless the object is small.

    Args:
        box: x0, y0, x1, y1 of the object.
        width, height: of the image.
    """
    side = max(CONTEXT * float(np.max(box[2:] - box[:2])), SMALLEST_CROP)
    if side >= 0.6 * max(width, height):
        return 0, 0, width, height
    middle, size = (box[:2] + box[2:]) / 2, np.minimum(side, (width, height))
    low = np.clip(middle - size / 2, 0, np.array([width, height]) - size)
    left, top, right, bottom = np.rint(np.concatenate([low, low + size])).astype(int).tolist()
    return left, top, right, bottom


@dataclass
class LabelCards:
    """Draws records of label maps; attributes as those of :class:`ObjectCards`.

    Attributes:
        colours: (K, 3) uint8 of the classes.
    """

    data: LabelMapStatistics
    colours: np.ndarray
    thumbnails: Thumbnails
    unreadable: set[str] = field(default_factory=set)
    layers: tuple[Layer, ...] = LABEL_LAYERS

    def card(self, image: int, note: str = "", odd: Sequence[int] = ()) -> Card | None:
        """An image and its labels over it; see :meth:`ObjectCards.card`."""
        picture = read_picture(self.data.files[image], self.unreadable)
        if picture is None:
            return None
        with Image.open(self.data.label_files[image]) as file:
            labels = np.asarray(file)
        src = self.thumbnails.add(picture)
        over = self.thumbnails.add(coloured(labels, self.colours), lossless=True)
        present = np.flatnonzero(self.data.pixels[image, : len(self.data.classes)])
        names = [self.data.classes[label] for label in present]
        said = note or f"{100 * self.data.ignored[image]:.0f} % ignored"
        if not note and not self.data.ignored[image]:
            said = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
        name = Path(self.data.files[image]).name
        return Card(src, *picture.size, name, said, names, pictures=[Picture(TRUTH, over)])


def coloured(labels: np.ndarray, colours: np.ndarray) -> Image.Image:
    """Labels (H, W) in the colours (K, 3) of their classes, half transparent; 255 is striped."""
    table = np.zeros((256, 4), dtype=np.uint8)
    table[: len(colours), :3], table[: len(colours), 3] = colours, OPACITY
    pixels = table[labels]
    height, width = labels.shape
    step = max(2, max(labels.shape) // 60)
    striped = (np.arange(height)[:, None] + np.arange(width)) // step % 2 == 0
    pixels[(labels == 255) & striped] = (0, 0, 0, 220)
    # Not blended between classes when it is made smaller.
    scale = min(1.0, 480 / max(labels.shape))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(pixels, "RGBA").resize(size, Image.Resampling.NEAREST)
