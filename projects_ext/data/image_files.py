"""What image files hold, by their headers: what Detectron2 would read wrongly is refused or said.

Pillow converts to 8 bits by cutting values off at 255: a 16-bit image becomes white, and one of
floating point in [0, 1] black. Nothing of that can be seen in a loss.
"""

import logging
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch.utils.data import get_worker_info

from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.utils.file_io import PathManager
from projects_ext.errors import UserError

logger = logging.getLogger("detectron2.projects_ext")

EIGHT_BIT = "python -m projects_ext.data.eight_bit FOLDER NEW_FOLDER"
FOR_TRAINING = (
    "convert the images of training and validation with one range of values by "
    f"`{EIGHT_BIT} --range LOW HIGH`, and give the new folders"
)
_ALPHA = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
_WITHOUT_EXTRA_BAND = frozenset({"RGB", "BGR", "L", "YUV-BT.601"})

_ORIENTATION = 0x0112
_TURNED = range(5, 9)
"""EXIF orientations that exchange width and height."""

# What has been said once in this process.
_said: set[str] = set()


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file says.

    Attributes:
        mode: PIL's, such as "RGB" or "I;16".
        height, width: in pixels, as it is stored.
        halved: 16 bits per channel are stored, of which Pillow delivers the upper 8.
        extra_band: a band is stored that Pillow leaves out of the mode.
        turned: height and width are exchanged when Detectron2 reads it, by its EXIF orientation;
            that of a PNG which has it elsewhere than before the pixels is not looked for.
    """

    mode: str
    height: int
    width: int
    halved: bool = False
    extra_band: bool = False
    turned: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what Detectron2 reads, as far as ``turned`` is known."""
        return (self.width, self.height) if self.turned else (self.height, self.width)

    @property
    def is_deep(self) -> bool:
        """Whether its values are 16-bit or 32-bit integers or floating point."""
        return is_deep(self.mode)


def is_deep(mode: str) -> bool:
    """Whether a PIL mode has more than 8 bits per channel."""
    return mode == "F" or mode.split(";")[0] == "I"


def read_header(path: str) -> ImageHeader:
    """Read the header of an image file; no pixel is decoded.

    Raises:
        OSError, SyntaxError, ValueError: what Pillow raises for missing files and for those that
            are no images.
        PIL.Image.DecompressionBombError: it has more pixels than Pillow reads.
    """
    with PathManager.open(path, "rb") as file, Image.open(file) as image:
        width, height = image.size
        # How Pillow unpacks the pixels, such as "RGB;16B". Not after getexif: that reads a PNG.
        stored = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
        halved = ";16" in stored and not is_deep(image.mode)
        extra = image.mode == "RGBX" or (image.format == "TIFF" and "RGBX" in stored)
        # Where a PNG has it behind the pixels, it would be decoded for it.
        known = image.format != "PNG" or "exif" in image.info
        return ImageHeader(image.mode, height, width, halved, extra, known and is_turned(image))


def size_as_read(path: str) -> tuple[int, int]:
    """Height and width of an image as Detectron2 reads it; a PNG is decoded for its orientation.

    Raises:
        Exception: see :func:`read_header`.
    """
    with PathManager.open(path, "rb") as file, Image.open(file) as image:
        width, height = image.size
        return (width, height) if is_turned(image) else (height, width)


def is_turned(image: Image.Image) -> bool:
    """Whether width and height are exchanged when Detectron2 reads it, by its EXIF orientation."""
    try:
        return image.getexif().get(_ORIENTATION) in _TURNED
    except (OSError, SyntaxError, ValueError, struct.error):
        return False  # damaged: Detectron2 reads such an image as it is stored


def exceeds_pixel_limit(path: str) -> bool:
    """Whether a file is an image of more pixels than Pillow reads."""
    try:
        read_header(path)
    except Image.DecompressionBombError:
        return True
    except (OSError, SyntaxError, ValueError):  # another reason, which reading it will tell
        return False
    return False


def too_many_pixels(what: str, record: dict[str, Any] | None = None) -> UserError:
    """The sentence on an image that is larger than Pillow reads.

    Args:
        what: names the file.
        record: tells its size, where it is known.
    """
    known = record is not None and {"width", "height"} <= record.keys()
    size = f" ({record['width']} x {record['height']})" if known and record is not None else ""
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
    return UserError(
        f"{what}{size} has more than the {limit} million pixels that Pillow reads: cut it into "
        "tiles or shrink it, together with its annotations"
    )


class FileChecks:
    """Checks image files for a mapper, before it reads them.

    Args:
        mapper: Detectron2's ``DatasetMapper``, or any other. What another one reads is its own
            affair: it only causes a warning.
        remedy: for images of more than 8 bits per channel.
    """

    def __init__(self, mapper: Any, remedy: str = FOR_TRAINING) -> None:
        self._remedy = remedy
        # A subclass may read files in its own way.
        self._reads_by_itself = (
            not isinstance(mapper, DatasetMapper)
            or type(mapper).__call__ is not DatasetMapper.__call__
        )
        self._name = type(mapper).__name__
        self.image_format = getattr(mapper, "image_format", None)
        augmentations = getattr(getattr(mapper, "augmentations", None), "augs", ())
        first = augmentations[0] if augmentations else None
        self._resize = first if isinstance(first, T.ResizeShortestEdge) else None

    def require_usable(self, what: str, path: str) -> ImageHeader | None:
        """Refuse an image that would be read wrongly.

        Args:
            what: names the file in a message.
            path: of the file.

        Returns:
            its header; None where the mapper reads files by itself.

        Raises:
            UserError: it has more than 8 bits per channel and would be cut off, or resizing would
                leave nothing of it.
            Exception: see :func:`read_header`.
        """
        if self._reads_by_itself:
            self._warn(what, path)
            return None
        header = read_header(path)
        problem = self.problem(header)
        if problem:
            raise UserError(f"{what} {problem}; {self._remedy}")
        vanishing = self.vanishing(header)
        if vanishing:
            raise UserError(f"{what} {vanishing}")
        for note in self._notes(header):
            _say_once(note, f"{what} {note}")
        return header

    def _warn(self, what: str, path: str) -> None:
        """For a mapper that reads files by itself: say what it has to care for."""
        try:
            header = read_header(path)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return  # no file of Pillow's, and it is the mapper that reads it
        if header.is_deep:
            note = f'has the PIL mode "{header.mode}", whose values {self._name} has to scale'
            _say_once(note, f"{what} {note}")

    def problem(self, header: ImageHeader) -> str:
        """What would go wrong with its values; empty if nothing would."""
        if not header.is_deep:
            return ""
        stands = f'has the PIL mode "{header.mode}"'
        if self.image_format is None:
            if header.mode == "F":
                return ""
            return f"{stands}, integers that cannot be augmented as they are (image_format=null)"
        if is_deep(self.image_format):
            return ""
        return (
            f"{stands}: converted to {self.image_format} its values would be cut off at 0 and 255"
        )

    def vanishing(self, header: ImageHeader) -> str:
        """What resizing would leave of the image, if that is nothing.

        Upstream Detectron2's resizing rounds to 0 rows or columns.
        """
        resize = self._resize
        if resize is None:
            return ""
        for length in {int(length) for length in resize.short_edge_length} - {0}:
            height, width = resize.get_output_shape(
                header.height, header.width, length, resize.max_size
            )
            if min(height, width) < 1:
                return (
                    f"is {header.width} x {header.height} pixels (width x height), of which "
                    f"resizing to at most {resize.max_size} pixels leaves {width} x {height}: take "
                    "it out, or cut it into pieces that are less thin"
                )
        return ""

    def _notes(self, header: ImageHeader) -> Iterator[str]:
        if self.image_format in _WITHOUT_EXTRA_BAND:
            if header.mode in _ALPHA:
                yield f"has an alpha channel (PIL mode {header.mode}), which is dropped"
            if header.extra_band:
                yield "has a fourth band, which is dropped"
        if header.is_deep:
            yield (
                f"is read with its own values (PIL mode {header.mode}): model.pixel_mean and "
                "model.pixel_std (YAML: MODEL.PIXEL_MEAN, PIXEL_STD) have to be in their range"
            )
        if header.halved:
            yield "has 16 bits per channel, of which only the upper 8 are read"


def _say_once(text: str, sentence: str) -> None:
    """Log a warning once in this process; of several loading processes the first one does."""
    worker = get_worker_info()
    if text not in _said and (worker is None or worker.id == 0):
        _said.add(text)
        logger.warning(f"{sentence} (said once, for the first image of the kind)")


def spread(records: Sequence[Any], count: int) -> list[Any]:
    """At most ``count`` of the records, evenly spread over all of them."""
    step = max(1, -(-len(records) // count))
    return list(records[::step])
