"""What goes wrong while an image is read, said with the file's name."""

from collections.abc import Callable
from typing import Any

from PIL import Image

from detectron2.data import detection_utils
from detectron2.utils.file_io import PathManager
from projects_ext.errors import MissingFileError, UserError

Mapper = Callable[[dict[str, Any]], Any]

# What PIL raises for files that are damaged or no images (an unidentified one is an OSError).
_UNREADABLE = (OSError, SyntaxError, Image.DecompressionBombError)
_FILES = ("file_name", "sem_seg_file_name")


class ReadingErrors:
    """A mapper whose errors name the image file, whichever Detectron2 and mapper it is.

    Args:
        mapper: from a data set dictionary with ``file_name`` to a model's input.
    """

    def __init__(self, mapper: Mapper) -> None:
        self.mapper = mapper

    def __call__(self, record: dict[str, Any]) -> Any:
        """Map one dictionary.

        Raises:
            UserError: a file is missing, damaged or of another size than its record says. A
                mistake in the mapper's code comes through as it is, with a note on the file.
        """
        try:
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


def explain(record: dict[str, Any], error: Exception) -> UserError | None:
    """What to tell the user about an error that lies in the record's files; None for others."""
    if isinstance(error, detection_utils.SizeMismatchError):
        height, width = detection_utils.read_image(record["file_name"]).shape[:2]
        return UserError(
            f"{_describe(record, record['file_name'])} is {width} x {height} (width x height), but "
            f"its record says {record.get('width')} x {record.get('height')}: "
            f"{_size_remedy(record, width, height)}"
        )
    if not isinstance(error, _UNREADABLE):
        return None
    path, reason = _unreadable_file(record)
    if path is None:
        return None
    what = _describe(record, path)
    if reason is None:
        return MissingFileError(
            f"{what} does not exist: copy it there, correct the folder of the images "
            "(data.*_images), or take it out of the annotation file"
        )
    return UserError(
        f"{what} cannot be read ({reason}): it is truncated, protected or no image; copy it again, "
        "or take it out of the annotation file"
    )


def _size_remedy(record: dict[str, Any], width: int, height: int) -> str:
    """What to do about a record whose size is not its image's."""
    if (record.get("height"), record.get("width")) == (width, height):
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


def _unreadable_file(record: dict[str, Any]) -> tuple[str | None, str | None]:
    """The first file of the record that cannot be read and why; without a why it is not there."""
    for path in (record[key] for key in _FILES if key in record):
        if not PathManager.isfile(path):
            return path, None
        try:
            detection_utils.read_image(path)
        except _UNREADABLE as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            return path, str(cause).strip().split("\n")[0].rstrip(".")
    return None, None
