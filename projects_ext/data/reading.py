"""What goes wrong while an image is read, said with the file's name."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image, UnidentifiedImageError

from detectron2.data import detection_utils
from detectron2.utils.file_io import PathManager
from projects_ext.errors import MissingFileError, UserError

from .image_files import (
    FileChecks,
    ImageHeader,
    exceeds_pixel_limit,
    is_turned,
    size_as_read,
    spread,
    too_many_pixels,
)

Mapper = Callable[[dict[str, Any]], Any]

# What PIL raises for files that are damaged or no images (an unidentified one is an OSError).
_UNREADABLE = (OSError, SyntaxError, Image.DecompressionBombError)
_FILES = ("file_name", "sem_seg_file_name")

LOOKED_AT = 1000
"""Of how many images the headers are read before a run; all others when their turn comes."""
_THREADS = 8


class ReadingErrors:
    """A mapper whose errors name the image file, whichever Detectron2 and mapper it is.

    Images that would be read wrongly (see :class:`~projects_ext.data.image_files.FileChecks`) are
    refused.

    Args:
        mapper: from a data set dictionary with ``file_name`` to a model's input.
    """

    def __init__(self, mapper: Mapper) -> None:
        self.mapper = mapper
        self._checks = FileChecks(mapper)

    def __call__(self, record: dict[str, Any]) -> Any:
        """Map one dictionary.

        Raises:
            UserError: a file is missing, damaged, of another size than its record says, or cannot
                be read as it is. A mistake in the mapper's code comes through as it is, with a note
                on the file.
        """
        try:
            self._check(record)
            return self.mapper(record)
        except UserError:
            raise
        except Exception as error:
            found = explain(record, error)
            if found is not None:
                raise found from error
            if hasattr(error, "add_note"):  # since Python 3.11
                error.add_note(f"while reading {_describe(record, record.get('file_name'))}")
            raise

    def _check(self, record: dict[str, Any]) -> ImageHeader | None:
        path = record.get("file_name")
        if not isinstance(path, str):
            return None
        return self._checks.require_usable(_describe(record, path), path)

    def look_at(self, records: Sequence[dict[str, Any]]) -> None:
        """Read the headers of images before a run: of at most :data:`LOOKED_AT`, evenly spread.

        Raises:
            UserError: see :meth:`__call__`; the first image, and how many there are.
        """
        with ThreadPoolExecutor(_THREADS) as pool:
            sample = spread(records, LOOKED_AT)
            problems = [found for found in pool.map(self._problem, sample) if found is not None]
        if not problems:
            return
        first, *others = problems
        if not others:
            raise first
        raise type(first)(
            f"{first} ({len(problems)} of the {len(sample)} images looked at cannot be used)"
        )

    def _problem(self, record: dict[str, Any]) -> UserError | None:
        try:
            header = self._check(record)
            if header is not None and {"height", "width"} <= record.keys():
                recorded = record["height"], record["width"]
                # Only where they differ the orientation is worth decoding a PNG for.
                size = recorded if header.size == recorded else size_as_read(record["file_name"])
                if size != recorded:
                    return _wrong_size(record, *size)
        except UserError as error:
            return error
        except _UNREADABLE as error:
            return explain(record, error)
        return None


def explain(record: dict[str, Any], error: Exception) -> UserError | None:
    """What to tell the user about an error that lies in the record's files; None for others."""
    if isinstance(error, detection_utils.SizeMismatchError):
        height, width = detection_utils.read_image(record["file_name"]).shape[:2]
        return _wrong_size(record, height, width)
    if not isinstance(error, _UNREADABLE):
        return None
    large = _too_large_file(record)
    if large is not None:
        return too_many_pixels(_describe(record, large), record)
    path, cause = _unreadable_file(record)
    if path is None:
        return None
    what = _describe(record, path)
    if cause is None:
        return MissingFileError(
            f"{what} does not exist: copy it there, correct the folder of the images "
            "(data.*_images; YAML: DATASETS.COCO_FORMAT.*_IMAGES), or take it out of the "
            "annotation file"
        )
    if isinstance(cause, UnidentifiedImageError):
        return UserError(
            f"{what} is no image, or of a kind that Pillow does not read: copy it again, save it "
            "as 8-bit RGB, or take it out of the annotation file"
        )
    reason = str(cause).strip().split("\n")[0].rstrip(".")
    return UserError(
        f"{what} cannot be read ({reason}): it is truncated, protected or no image; copy it again, "
        "or take it out of the annotation file"
    )


def _wrong_size(record: dict[str, Any], height: int, width: int) -> UserError:
    return UserError(
        f"{_describe(record, record['file_name'])} is {width} x {height} (width x height), but "
        f"its record says {record.get('width')} x {record.get('height')}: "
        f"{_size_remedy(record, width, height)}"
    )


def _size_remedy(record: dict[str, Any], width: int, height: int) -> str:
    """What to do about a record whose size is not its image's."""
    if (record.get("height"), record.get("width")) == (width, height):
        with PathManager.open(record["file_name"], "rb") as file, Image.open(file) as image:
            turned = is_turned(image)
        if not turned:
            return (
                "width and height are exchanged there: exchange them, and look whether the "
                "annotations were written for the image as it is"
            )
        return (
            "the image is turned by its EXIF orientation, and the annotations were written for the "
            "stored pixels; turn the image files for good and export the annotations again, or "
            "exchange width and height and scale the polygons to the new size (some tools scale "
            "them by the stored one, although they were drawn on the turned image)"
        )
    return "put the right file in place, or correct width, height and the annotations there"


def _describe(record: dict[str, Any], path: str | None) -> str:
    identity = f" (image id {record['image_id']})" if "image_id" in record else ""
    return f"the image file {path}{identity}"


def _too_large_file(record: dict[str, Any]) -> str | None:
    """The first file of the record that has more pixels than Pillow reads."""
    for path in (record[key] for key in _FILES if key in record):
        if PathManager.isfile(path) and exceeds_pixel_limit(path):
            return str(path)
    return None


def _unreadable_file(record: dict[str, Any]) -> tuple[str | None, Exception | None]:
    """The first file of the record that cannot be read and why; without a why it is not there."""
    for path in (record[key] for key in _FILES if key in record):
        if not PathManager.isfile(path):
            return path, None
        try:
            detection_utils.read_image(path)
        except _UNREADABLE as error:
            return path, error.__cause__ if isinstance(error.__cause__, Exception) else error
    return None, None
