"""Images and crops of them, with the outlines of what is there and what was found."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from contourpy import contour_generator
from PIL import Image
from pycocotools import mask as mask_util

from detectron2.data.detection_utils import read_image
from projects_ext.data.coco.reading import Record
from projects_ext.data.coco.shapes import run_lengths

from .evaluation import Evaluation
from .gallery import Card, Layer, Shape, Thumbnails
from .outcomes import NAMES, Kind, Outcomes, shape_of

TRUTH, PREDICTIONS = "truth", "predictions"
LAYERS = (Layer(TRUTH, "Ground truth"), Layer(PREDICTIONS, "Predictions"))

MOST_SHAPES = 60
"""Objects, and detections, that are drawn on one image; the most certain ones."""
_OUTLINE = 56
"""Masks are outlined on a grid with about as many steps along their longer side."""
_CONTEXT, _SMALLEST_CROP, _CROP_SIDE = 2.4, 72, 260

Window = tuple[int, int, int, int]
"""Left, upper, right and lower end of a part of an image."""


@dataclass
class CardMaker:
    """Draws objects and detections of one evaluation.

    Attributes:
        evaluation: the results, and whether boxes or masks are drawn.
        found: what became of the detections.
        threshold: less certain detections are not drawn.
        thumbnails: where images go.
        unreadable: names of images that could not be read; grey takes their place.
        layer: the switch of the detections.
    """

    evaluation: Evaluation
    found: Outcomes
    threshold: float
    thumbnails: Thumbnails
    layer: str = PREDICTIONS
    unreadable: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._objects, self._detections = defaultdict(list), defaultdict(list)
        for place, number in enumerate(self.found.object_image):
            self._objects[int(number)].append(place)
        shown = (self.found.score >= self.threshold) & (self.found.kind != Kind.IGNORED)
        for place in np.argsort(-self.found.score, kind="stable"):
            if shown[place]:
                self._detections[int(self.found.image[place])].append(int(place))

    def whole(self, image: int, note: str) -> Card:
        """An image with all its objects and its certain detections."""
        entry = self.evaluation.results.images[image]
        window = (0, 0, entry.width, entry.height)
        shapes = self.shapes_of(image, window)
        src = self.thumbnails.add(self._read(image))
        tags = self._tags(self._objects[image], self._detections[image])
        return Card(src, entry.width, entry.height, entry.name, note, tags, shapes)

    def detection(self, place: int) -> Card:
        """The part of an image around a detection that is an error."""
        found, classes = self.found, self.evaluation.results.classes
        kind, target = Kind(found.kind[place]), int(found.target[place])
        label = int(found.label[place])
        title = f"{classes[label]} {found.score[place]:.2f}"
        note = NAMES[kind]
        if kind in (Kind.CLASS, Kind.BOTH) and target >= 0:
            note += f": really {classes[found.object_label[target]]}"
        if kind in (Kind.LOCATION, Kind.BOTH):
            note += f", overlap {found.overlap[place]:.2f}"
        record = self.evaluation.results.detections[place]
        involved = [target] if target >= 0 else []
        return self._crop(record, title, note, self._tags(involved, [place]))

    def missed(self, place: int) -> Card:
        """The part of an image around an object that was not found."""
        classes = self.evaluation.results.classes
        record = self.evaluation.results.objects[place]
        label = int(self.found.object_label[place])
        return self._crop(record, classes[label], self.why_missed(place), [classes[label]])

    def why_missed(self, place: int) -> str:
        """In words: what was found in its place."""
        found = self.found
        hits = np.flatnonzero((found.target == place) & found.wrong(self.threshold))
        if len(hits):
            hit = hits[found.score[hits].argmax()]
            said = f"{self.evaluation.results.classes[found.label[hit]]} {found.score[hit]:.2f}"
            if found.kind[hit] == Kind.CLASS:
                return f"taken for {said}"
            return f"hit with an overlap of {found.overlap[hit]:.2f} only ({said})"
        if found.found_score[place] > -np.inf:
            return f"found with a score of {found.found_score[place]:.2f} only"
        return "nothing found"

    def shapes_of(self, image: int, window: Window, focus: Record | None = None) -> list[Shape]:
        """What lies in a part of an image, relative to its upper left corner.

        The object or detection that the part is shown for, ``focus``, stands out.
        """
        found, classes = self.found, self.evaluation.results.classes
        shapes = []
        for place in self._objects[image][:MOST_SHAPES]:
            missed = found.found_score[place] < self.threshold and not found.crowd[place]
            name = classes[found.object_label[place]] + (" (crowd)" if found.crowd[place] else "")
            record = self.evaluation.results.objects[place]
            tone = ("missed" if missed else "truth") + (" focus" if record is focus else "")
            shape = self._shape(record, TRUTH, tone, name, window)
            shapes += [shape] if shape else []
        for place in self._detections[image][:MOST_SHAPES]:
            tone = "right" if found.kind[place] == Kind.RIGHT else "wrong"
            name = f"{classes[found.label[place]]} {found.score[place]:.2f}"
            record = self.evaluation.results.detections[place]
            tone += " focus" if record is focus else ""
            shape = self._shape(record, self.layer, tone, name, window)
            shapes += [shape] if shape else []
        return shapes

    def _shape(
        self, record: Record, layer: str, tone: str, label: str, window: Window
    ) -> Shape | None:
        left, top, right, bottom = window
        x, y, width, height = record["bbox"]
        if x > right or y > bottom or x + width < left or y + height < top:
            return None
        entry = self.evaluation.results.images[record["image_id"] - 1]
        path = ""
        if self.evaluation.task == "segm" and record.get("segmentation"):
            path = outline(record, (entry.height, entry.width), (left, top))
        return Shape(layer, tone, label, (x - left, y - top, width, height), path)

    def _crop(self, record: Record, title: str, note: str, tags: Sequence[str]) -> Card:
        image = record["image_id"] - 1
        entry = self.evaluation.results.images[image]
        window = _around(record["bbox"], entry.width, entry.height)
        width, height = window[2] - window[0], window[3] - window[1]
        part = self._read(image).crop(window)
        scale = max(1.0, _CROP_SIDE / 2 / max(width, height))
        if scale > 1:
            part = part.resize((round(width * scale), round(height * scale)))
        src = self.thumbnails.add(part, _CROP_SIDE)
        shapes = self.shapes_of(image, window, record)
        return Card(src, width, height, title, f"{note} · {entry.name}", tags, shapes)

    def _tags(self, objects: Sequence[int], detections: Sequence[int]) -> list[str]:
        labels = {int(self.found.object_label[place]) for place in objects}
        labels |= {int(self.found.label[place]) for place in detections}
        return [self.evaluation.results.classes[label] for label in sorted(labels)]

    def _read(self, image: int) -> Image.Image:
        entry = self.evaluation.results.images[image]
        try:
            read = Image.fromarray(read_image(str(entry.path), format="RGB"))
        except (OSError, ValueError, SyntaxError):  # whatever PIL says of a broken file
            self.unreadable.add(entry.name)
            return Image.new("RGB", (entry.width, entry.height), (128, 128, 128))
        size = (entry.width, entry.height)
        return read if read.size == size else read.resize(size)


def _around(box: Sequence[float], width: int, height: int) -> Window:
    """A part of an image, as far as possible square, with a box in its middle."""
    side = max(_CONTEXT * max(box[2:]), _SMALLEST_CROP)

    def along(start: float, length: float, limit: int) -> tuple[int, int]:
        size = int(min(side, limit))
        first = int(np.clip(start + length / 2 - size / 2, 0, limit - size))
        return first, first + size

    left, right = along(box[0], box[2], width)
    top, bottom = along(box[1], box[3], height)
    return left, top, right, bottom


def outline(record: Record, size: tuple[int, int], origin: tuple[float, float]) -> str:
    """The outline of a mask as an SVG path.

    Args:
        record: an object or a detection with a mask.
        size: height and width of its image.
        origin: x and y that become 0.
    """
    rle = shape_of(record, "segm", size)
    x, y, width, height = (int(value) for value in mask_util.toBbox(rle))
    if not width or not height:
        return ""
    mask = _decoded(rle)[y : y + height, x : x + width]
    scale = min(1.0, _OUTLINE / max(width, height))
    columns, rows = max(round(width * scale), 1), max(round(height * scale), 1)
    grey = Image.fromarray(mask * np.uint8(255)).resize((columns, rows), Image.Resampling.BOX)
    padded = np.pad(np.asarray(grey, dtype=float), 1)
    # Pixel centres of the small grid, in pixels of the image.
    across = (np.arange(columns + 2) - 0.5) * width / columns + x - origin[0]
    down = (np.arange(rows + 2) - 0.5) * height / rows + y - origin[1]
    lines: Any = contour_generator(across, down, padded).lines(127.5)
    return "".join(_path(line) for line in lines if len(line) > 3)


def _decoded(rle: Any) -> np.ndarray:
    """A mask, (H, W) of 0 and 1; the mask library's own way to it brings warnings of NumPy's."""
    height, width = rle["size"]
    counts = rle["counts"]
    runs = run_lengths(counts.decode() if isinstance(counts, bytes) else counts, height * width)
    assert runs is not None  # checked when it was read
    values = np.arange(len(runs), dtype=np.uint8) % 2
    return np.repeat(values, runs).reshape(width, height).T


def _path(line: np.ndarray) -> str:
    """A closed line, without points that lie on the way between their neighbours."""
    points = np.round(np.asarray(line)[:-1], 1)
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 0.02
    points = points[turns] if turns.sum() > 2 else points
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z"
