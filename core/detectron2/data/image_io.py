"""Reading images from files, in the colour formats that models are trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image

from detectron2.utils.file_io import PathManager

__all__ = [
    "SizeMismatchError",
    "check_image_size",
    "convert_PIL_to_numpy",
    "convert_image_to_rgb",
    "read_image",
]

YUV_FORMAT = "YUV-BT.601"


# Columns: R, G, B of Y, U, V in ITU-R BT.601 (analogue, unscaled).
_RGB_TO_YUV = np.array(
    [[0.299, 0.587, 0.114], [-0.14713, -0.28886, 0.436], [0.615, -0.51499, -0.10001]]
)


_YUV_TO_RGB = np.array([[1.0, 0.0, 1.13983], [1.0, -0.39465, -0.58060], [1.0, 2.03211, 0.0]])


# What has to be done to show a picture upright, by its EXIF orientation tag (1 is upright).
_UPRIGHT = dict(
    zip(
        range(2, 9),
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        strict=True,
    )
)


class SizeMismatchError(ValueError):
    """An image has another size than its data set says."""


def _is_deep(mode: str) -> bool:
    """Whether a PIL mode has 16-bit or 32-bit integers or floating point values."""
    return mode == "F" or mode.split(";")[0] == "I"


def convert_PIL_to_numpy(image: Image.Image, format: str | None) -> np.ndarray:
    """A PIL image as an array in one of the formats of :func:`read_image`.

    Raises:
        ValueError: values of more than 8 bits would be cut off at 255 (Pillow does not scale them).
    """
    if format is not None and _is_deep(image.mode) and not _is_deep(format):
        raise ValueError(
            f"The image has the PIL mode {image.mode!r}, and its values would be cut off at 0 and "
            f"255 in {format}: scale it to 8 bits first, by a range that all your images share, or "
            "read it as it is with format=None."
        )
    if format is not None:
        pil_mode = "RGB" if format in ("BGR", YUV_FORMAT) else format
        image = image.convert(pil_mode)
    array = np.array(image)  # a copy that can be written to
    if format == "BGR":
        return array[:, :, ::-1]
    if format == "L":
        return array[:, :, None]
    if format == YUV_FORMAT:
        return (array / 255.0) @ _RGB_TO_YUV.T
    return array


def convert_image_to_rgb(image: np.ndarray | torch.Tensor, format: str) -> np.ndarray:
    """An image of any format that can be read as RGB of shape (H, W, 3), in [0, 255].

    The result is uint8, but floating point for floating point BGR and for YUV.
    """
    array = image.cpu().numpy() if isinstance(image, torch.Tensor) else image
    if format == "BGR":
        return array[:, :, ::-1]
    if format == YUV_FORMAT:
        return array @ _YUV_TO_RGB.T * 255.0
    if format == "L":
        gray = array[:, :, 0] if array.ndim == 3 else array
        return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)
    return array.astype(np.uint8)


def _upright(image: Image.Image) -> Image.Image:
    """The image as a viewer would show it, from its EXIF orientation."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # PIL raises many kinds of errors for broken EXIF data
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def read_image(file_name: str, format: str | None = None) -> np.ndarray:
    """Read an image, turned upright as its EXIF orientation asks.

    Args:
        file_name: the path of the image file.
        format: a PIL mode such as "RGB" or "L"; "BGR"; "YUV-BT.601"; or None for what the file has.

    Returns:
        uint8 of shape (H, W, 3) for colour, (H, W, 1) for "L"; floating point in [0, 1] for Y and
        about [-0.6, 0.6] for U and V.

    Raises:
        FileNotFoundError, OSError: if there is no such file, or it is no (complete) image.
        ValueError: if it has more than 8 bits per channel and the format has 8.
    """
    if not PathManager.isfile(file_name):
        raise FileNotFoundError(f"The image file '{file_name}' does not exist.")
    with PathManager.open(file_name, "rb") as file:
        try:
            image = Image.open(file)
            image.load()
        except Image.DecompressionBombError as error:
            raise OSError(
                f"The image file '{file_name}' has more pixels than Pillow reads: {error} Cut the "
                "image into tiles or shrink it."
            ) from error
        except (OSError, SyntaxError, ValueError) as error:
            raise OSError(
                f"The image file '{file_name}' cannot be read; it is truncated or not a usable "
                f"image: {error}"
            ) from error
        try:
            return convert_PIL_to_numpy(_upright(image), format)
        except ValueError as error:
            raise ValueError(f"The image file '{file_name}' cannot be read: {error}") from error


def check_image_size(dataset_dict: dict[str, Any], image: np.ndarray) -> None:
    """Check the image against ``width`` and ``height`` of its dictionary, or enter them there.

    Raises:
        SizeMismatchError: if they differ; the message has both sizes and the file's name.
    """
    height, width = image.shape[:2]
    expected = (dataset_dict.get("width", width), dataset_dict.get("height", height))
    if expected != (width, height):
        name = f" '{dataset_dict['file_name']}'" if "file_name" in dataset_dict else ""
        raise SizeMismatchError(
            f"Mismatched image shape: the image{name} is {width} x {height} (width x height), but "
            f"its annotation says {expected[0]} x {expected[1]}; correct 'width' and 'height' "
            "there, or the image's EXIF orientation."
        )
    dataset_dict["width"], dataset_dict["height"] = expected
