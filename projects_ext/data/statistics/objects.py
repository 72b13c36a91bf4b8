"""Objects of a data set in numbers: per class, per image, by size.

Shape legend: M images, N objects that are no crowd regions, K classes. Boxes are x0, y0, x1, y1 in
pixels of the image as it is stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from detectron2.structures import BoxMode
from projects_ext.errors import UserError

SMALL, LARGE = 32, 96
"""COCO's limits: small objects have an area below 32 x 32 pixels, large ones from 96 x 96 on."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class ObjectStatistics:
    """The objects of a data set.

    Attributes:
        classes: names of the K classes.
        files: of the M images.
        sizes: (M, 2) height and width of the images; NaN where records do not tell.
        boxes: (N, 4).
        labels: (N,) class of each object.
        images: (N,) index of its image.
        places: (N,) index of its annotation in the record of the image.
        crowds: (M,) crowd regions of each image; they count nowhere else.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    sizes: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    places: np.ndarray
    crowds: np.ndarray

    @cached_property
    def edges(self) -> np.ndarray:
        """(N, 2) width and height of each box."""
        return self.boxes[:, 2:] - self.boxes[:, :2]

    @cached_property
    def areas(self) -> np.ndarray:
        """(N,) area of each box in pixels."""
        return np.prod(np.maximum(self.edges, 0), axis=1)

    @cached_property
    def sides(self) -> np.ndarray:
        """(N,) edge of the square that has the area of the box."""
        return np.sqrt(self.areas)

    @cached_property
    def per_image(self) -> np.ndarray:
        """(M,) number of objects."""
        return np.bincount(self.images, minlength=len(self.files))

    @cached_property
    def per_class(self) -> np.ndarray:
        """(K,) number of objects."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @cached_property
    def images_per_class(self) -> np.ndarray:
        """(K,) number of images that have an object of the class."""
        pairs = np.unique(np.stack([self.images, self.labels]), axis=1)
        return np.bincount(pairs[1], minlength=len(self.classes))

    @cached_property
    def by_size(self) -> np.ndarray:
        """(K, 3) number of small, medium and large boxes of each class."""
        limits = np.array([SMALL**2, LARGE**2])
        kind = np.searchsorted(limits, self.areas, side="right")
        flat = np.bincount(3 * self.labels + kind, minlength=3 * len(self.classes))
        return flat.reshape(-1, 3)

    @cached_property
    def median_sides(self) -> np.ndarray:
        """(K,) median of ``sides`` by class; NaN for classes without objects."""
        return np.array(
            [
                np.median(self.sides[self.labels == index]) if count else np.nan
                for index, count in enumerate(self.per_class)
            ]
        )

    @cached_property
    def relative_sides(self) -> np.ndarray:
        """(N,) ``sides`` as a share of the same of the image; NaN where its size is not known."""
        return self.sides / np.sqrt(np.prod(self.sizes, axis=1))[self.images]


def count_objects(records: Iterable[Record], classes: Sequence[str] = ()) -> ObjectStatistics:
    """Collect the objects of Detectron2's data set dictionaries.

    Args:
        records: with ``file_name`` and, as far as known, ``height``, ``width`` and
            ``annotations``.
        classes: their names; empty: they are called by their numbers.

    Raises:
        UserError: an annotation has no box of four numbers, or a class that is not named.
    """
    files, sizes, crowds = [], [], []
    boxes: list[Sequence[float]] = []
    modes, labels, images, places = [], [], [], []
    for index, record in enumerate(records):
        files.append(str(record.get("file_name", f"image {record.get('image_id', index)}")))
        sizes.append((record.get("height") or np.nan, record.get("width") or np.nan))
        crowd = 0
        for place, annotation in enumerate(record.get("annotations", ())):
            if annotation.get("iscrowd", 0):
                crowd += 1
                continue
            boxes.append(_box(annotation, files[-1]))
            modes.append(int(annotation.get("bbox_mode", BoxMode.XYXY_ABS)))
            labels.append(annotation["category_id"])
            images.append(index)
            places.append(place)
        crowds.append(crowd)
    names = _names(classes, labels, [files[i] for i in images])
    return ObjectStatistics(
        classes=names,
        files=tuple(files),
        sizes=np.array(sizes, dtype=float).reshape(-1, 2),
        boxes=_corners(np.array(boxes, dtype=float).reshape(-1, 4), np.array(modes, dtype=int)),
        labels=np.array(labels, dtype=int),
        images=np.array(images, dtype=int),
        places=np.array(places, dtype=int),
        crowds=np.array(crowds, dtype=int),
    )


def _box(annotation: Record, file: str) -> Sequence[float]:
    box = annotation.get("bbox")
    if box is None or len(box) != 4:
        raise UserError(
            f"an annotation of {file} has the box {box}: statistics need boxes of four numbers; "
            "add them where the data set is registered"
        )
    return box


def _names(classes: Sequence[str], labels: Sequence[int], files: Sequence[str]) -> tuple[str, ...]:
    """A name for each class that occurs.

    Raises:
        UserError: there are names, but not for this class.
    """
    if not classes:
        return tuple(str(label) for label in range(max(labels, default=-1) + 1))
    for label, file in zip(labels, files, strict=True):
        if not 0 <= label < len(classes):
            raise UserError(
                f"an annotation of {file} has the category_id {label}, but the data set names "
                f"{len(classes)} classes, 0 to {len(classes) - 1}: correct where it is registered"
            )
    return tuple(map(str, classes))


def _corners(boxes: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) of any modes as x0, y0, x1, y1."""
    for mode in np.unique(modes):
        chosen = modes == mode
        if mode == BoxMode.XYWH_ABS:
            boxes[chosen, 2:] += boxes[chosen, :2]
        elif mode != BoxMode.XYXY_ABS:
            boxes[chosen] = BoxMode.convert(boxes[chosen], BoxMode(mode), BoxMode.XYXY_ABS)
    return boxes
