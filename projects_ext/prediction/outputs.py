"""Results in files: COCO json, CSV, label maps. Files grow with each image, so memory does not."""

import csv
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from projects_ext.errors import UserError

from .closing import Closing
from .jobs import Job
from .objects import Objects

RESULTS, IMAGES, TABLE, LABELS = (
    "coco_instances_results.json",
    "coco_images.json",
    "predictions.csv",
    "label_maps",
)
COLUMNS = ("file", "frame", "class", "score", "x0", "y0", "x1", "y1", "mask_area")


class Output(Closing, ABC):
    """Takes the results of images and frames, in their order; use it in a ``with`` statement."""

    @abstractmethod
    def write(self, job: Job) -> None:
        """Add what was found in an image or a frame."""


class _JsonItems:
    """A file with text around a list of json items that grows."""

    def __init__(self, path: Path, before: str, after: str) -> None:
        self._file = open_text(path)
        self._after, self._separator = after, "\n"
        self._file.write(before)

    def add(self, item: dict[str, Any]) -> None:
        self._file.write(self._separator + json.dumps(item))
        self._separator = ",\n"

    def close(self) -> None:
        self._file.write(self._after)
        self._file.close()


class CocoOutput(Output):
    """COCO's results, as an evaluation writes them, and a data set of the images they are for.

    ``COCO("coco_images.json").loadRes("coco_instances_results.json")`` of pycocotools loads both.
    The ids of the classes count from 1.

    Args:
        folder: for both files.
        names: of the classes.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        categories = [{"id": index + 1, "name": name} for index, name in enumerate(names)]
        self._results = _JsonItems(folder / RESULTS, "[", "\n]\n")
        self._images = _JsonItems(
            folder / IMAGES,
            '{"info": {}, "annotations": [], "images": [',
            f'\n], "categories": {json.dumps(categories)}}}\n',
        )
        self._count = 0

    def write(self, job: Job) -> None:
        """Add an image and its objects."""
        found = job.found
        assert isinstance(found, Objects)
        self._count += 1
        image = {"id": self._count, "file_name": job.input.source, "height": found.height,
                 "width": found.width}  # fmt: skip
        if job.frame is not None:
            image["frame_index"] = job.frame
        self._images.add(image)
        for index in range(len(found)):
            self._results.add({"image_id": self._count, **coco_result(found, index)})

    def close(self) -> None:
        """End both lists."""
        self._results.close()
        self._images.close()


def coco_result(objects: Objects, index: int) -> dict[str, Any]:
    """An object in COCO's form for results, without its image.

    Args:
        objects: of an image.
        index: of the object.
    """
    x0, y0, x1, y1 = (round(float(edge), 3) for edge in objects.boxes[index])
    result: dict[str, Any] = {
        "category_id": int(objects.classes[index]) + 1,
        "bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)],
        "score": round(float(objects.scores[index]), 6),
    }
    if objects.masks is not None:
        result["segmentation"] = objects.masks[index].run_lengths(objects.height, objects.width)
    return result


class TableOutput(Output):
    """A CSV file with a row per object.

    Args:
        folder: for the file.
        names: of the classes.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._names = names
        self._file = open_text(folder / TABLE)
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def write(self, job: Job) -> None:
        """Add the objects of an image."""
        found = job.found
        assert isinstance(found, Objects)
        frame = "" if job.frame is None else job.frame
        for index in range(len(found)):
            corners = [f"{edge:.2f}" for edge in found.boxes[index]]
            area = "" if found.masks is None else found.masks[index].area
            name, score = self._names[int(found.classes[index])], f"{found.scores[index]:.4f}"
            self._rows.writerow([job.input.source, frame, name, score, *corners, area])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LabelMapOutput(Output):
    """A PNG with the class of each pixel: 8 bits, or 16 for more than 256 classes.

    Args:
        folder: they go to its folder ``label_maps``; of a video to a folder of its name there.
        class_count: of the model.
    """

    def __init__(self, folder: Path, class_count: int) -> None:
        self._folder = folder / LABELS
        self._type = np.uint8 if class_count <= 256 else np.uint16

    def write(self, job: Job) -> None:
        """Write a label map."""
        assert isinstance(job.found, np.ndarray)
        path = self.path(job)
        make_folder(path.parent)
        Image.fromarray(job.found.astype(self._type)).save(path)

    def path(self, job: Job) -> Path:
        """Of the label map of an image or a frame."""
        name = job.input.name
        return self._folder / (
            f"{name}.png" if job.frame is None else f"{name}/{job.frame:06d}.png"
        )


def open_text(path: Path) -> TextIO:
    """Open a new file for text.

    Raises:
        UserError: it cannot be written.
    """
    try:
        return path.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder, unless it is there.

    Raises:
        UserError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, without making it.

    Raises:
        UserError: it names what is in the way.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise UserError(f"{there} is no folder: give another --output")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"the folder {there} cannot be written to: give another --output")


def unwritable(path: Path, error: OSError) -> UserError:
    """The sentence on an output that cannot be written."""
    return UserError(f"{path} cannot be written ({error.strerror}): give another --output")
