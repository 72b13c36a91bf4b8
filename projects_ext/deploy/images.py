"""Images for exported models, read as ``projects_ext.Predictor`` reads them, without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from projects_ext.errors import MissingFileError, UserError

ImageLike = str | Path | Image.Image | np.ndarray
ArrayFormat = Literal["BGR", "RGB"]

ARRAY_FORMATS: Sequence[str] = ("BGR", "RGB")
_SCALE = "scale it to 8 bits with the range that the training images had"


def rgb_pixels(image: ImageLike, array_format: ArrayFormat = "BGR") -> np.ndarray:
    """Decode an image, upright by its EXIF orientation.

    Args:
        image: the path of a file, a PIL image, or an array (H, W, 3) or (H, W) of uint8.
        array_format: the order of the channels in arrays.

    Returns:
        (H, W, 3) uint8, red first, contiguous.

    Raises:
        MissingFileError: there is no such file.
        UserError: it cannot be read, has more than 8 bits per channel, or is something else.
    """
    if isinstance(image, str | Path):
        return _from_file(Path(image))
    if isinstance(image, Image.Image):
        return _from_pil("the image", image)
    if isinstance(image, np.ndarray):
        return _from_array(image, array_format)
    raise UserError(
        f"an image is a path, a PIL image or an array of uint8, not a {type(image).__name__}: give "
        "one of these"
    )


def _from_file(path: Path) -> np.ndarray:
    what = f"the image file {path}"
    if not path.is_file():
        raise MissingFileError(f"there is no image file {path}: correct the path")
    try:
        with Image.open(path) as image:
            return _from_pil(what, image)
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UserError(
            f"{what} has more than the {limit} million pixels that Pillow reads: cut it into tiles "
            "or shrink it"
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{what} is no image, or of a kind that Pillow does not read: convert it"
        ) from error
    except (OSError, SyntaxError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise UserError(
            f"{what} cannot be read ({reason}): it is truncated or damaged, copy it again"
        ) from error


def _from_pil(what: str, image: Image.Image) -> np.ndarray:
    if image.mode == "F" or image.mode.split(";")[0] == "I":
        raise UserError(
            f'{what} has the PIL mode "{image.mode}": converted to RGB its values would be cut off '
            f"at 0 and 255; {_SCALE}"
        )
    if not all(image.size):
        raise UserError(f"{what} has {image.width} x {image.height} pixels: give another")
    return np.ascontiguousarray(ImageOps.exif_transpose(image).convert("RGB"))


def _from_array(array: np.ndarray, array_format: ArrayFormat) -> np.ndarray:
    array = three_channels(array, _SCALE)
    return np.ascontiguousarray(array if array_format == "RGB" else array[:, :, ::-1])


def three_channels(array: np.ndarray, remedy: str) -> np.ndarray:
    """An array of an image in colour or in grey as (H, W, 3) uint8, its channels in their order.

    Args:
        array: (H, W, 3), (H, W, 1) or (H, W).
        remedy: for values that are not uint8.

    Raises:
        UserError: it has another type or shape.
    """
    if array.dtype != np.uint8:
        raise UserError(
            f"the array has values of {array.dtype}, but an image has uint8, 0 to 255: {remedy}"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise UserError(
            f"the array has the shape {array.shape}, but an image has (height, width, 3), or "
            "(height, width) in grey: give that, or a list of such for several images"
        )
    return array
