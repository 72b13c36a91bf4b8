"""From an image, in a file or in memory, to a model's input: exactly as in an evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image, ImageOps, UnidentifiedImageError

from detectron2.data import DatasetMapper, detection_utils
from detectron2.data import transforms as T
from detectron2.utils.file_io import PathManager
from projects_ext.data.image_files import (
    EIGHT_BIT,
    FileChecks,
    ImageHeader,
    exceeds_pixel_limit,
    too_many_pixels,
)
from projects_ext.deploy.images import ArrayFormat, ImageLike, three_channels
from projects_ext.engine.config_files import Config
from projects_ext.engine.instantiation import build, building
from projects_ext.errors import MissingFileError, UserError

_UNREADABLE = (OSError, SyntaxError, Image.DecompressionBombError)
_KEY = "dataloader.test.mapper"
_SCALE = f"scale it to 8 bits with the range that the training images had, as `{EIGHT_BIT}` does"


def evaluation_mapper(cfg: Config) -> Any:
    """What reads and resizes the images of an evaluation with this config.

    Raises:
        UserError: the config describes none, or it cannot be built.
    """
    if isinstance(cfg, DictConfig):
        node = OmegaConf.select(cfg, _KEY)
        if node is None:
            raise UserError(
                f"the config has no {_KEY}, which reads and resizes images: describe one there, "
                "such as detectron2.data.DatasetMapper"
            )
        return build(node, _KEY)
    with building("INPUT"):
        return DatasetMapper(cfg, False)


class Preparation:
    """Makes model inputs from images, with the reading and the augmentations of a mapper.

    It may be called from several threads at once.

    Args:
        mapper: of an evaluation. Of one that is not Detectron2's ``DatasetMapper`` only files are
            prepared, since it reads them in its own way.
        array_format: the order of the channels in arrays.

    Raises:
        UserError: another order than "BGR" or "RGB".
    """

    def __init__(self, mapper: Any, array_format: ArrayFormat = "BGR") -> None:
        if array_format not in ("BGR", "RGB"):
            raise UserError(f"array_format is {array_format!r}: it is BGR or RGB")
        self.mapper, self._order = mapper, array_format
        self._checks = FileChecks(mapper, _SCALE)
        self._reads_files_only = (
            not isinstance(mapper, DatasetMapper)
            or type(mapper).__call__ is not DatasetMapper.__call__
        )

    def __call__(self, image: ImageLike) -> dict[str, Any]:
        """Decode and resize an image.

        Args:
            image: the path of an image file, a PIL image, or an array (H, W, 3) or (H, W), uint8.

        Returns:
            ``image`` (C, h, w), a tensor on the CPU, and ``height`` and ``width`` of the original
            image; ``file_name`` if there is a file.

        Raises:
            MissingFileError: no such file.
            UserError: it cannot be read, has more than 8 bits per channel, or is something else.
        """
        if isinstance(image, str | Path):
            return self._from_file(str(image))
        if not isinstance(image, Image.Image | np.ndarray):
            raise UserError(
                f"an image is a path, a PIL image or an array of uint8, not a "
                f"{type(image).__name__}: give one of these"
            )
        if self._reads_files_only:
            raise UserError(
                f"the config's {type(self.mapper).__name__} reads image files by itself: give the "
                "path of a file"
            )
        if isinstance(image, Image.Image):
            what, array = "the image", self._from_pil(image)
        else:
            what, array = "the array", self._from_array(image)
        height, width = array.shape[:2]
        vanishing = self._checks.vanishing(ImageHeader("RGB", height, width))
        if vanishing:
            raise UserError(f"{what} {vanishing}")
        return self._augmented(array)

    def _augmented(self, array: np.ndarray) -> dict[str, Any]:
        """As the mapper treats an image that it has read, (H, W, C) in its format."""
        height, width = array.shape[:2]
        given = T.AugInput(array)
        self.mapper.augmentations(given)
        channels_first = np.atleast_3d(given.image).transpose(2, 0, 1)
        pixels = torch.as_tensor(np.ascontiguousarray(channels_first))
        return {"image": pixels, "height": height, "width": width}

    def _from_file(self, path: str) -> dict[str, Any]:
        what = f"the image file {path}"
        try:
            there = PathManager.isfile(path)
        except NotImplementedError as error:  # iopath's answer for addresses
            raise UserError(
                f"{path} is an address: download the image, and give its path"
            ) from error
        if not there:
            raise MissingFileError(f"there is no image file {path}: correct the path")
        try:
            self._checks.require_usable(what, path)
            if self._reads_files_only:
                return self.mapper({"file_name": path})
            array = detection_utils.read_image(path, format=self.mapper.image_format)
        except UserError:
            raise
        except _UNREADABLE as error:
            raise _unreadable(what, path, error) from error
        except (ValueError, RuntimeError) as error:
            # Some of Pillow's decoders raise these for damaged files; so may a mapper's own code.
            if _can_be_decoded(path):
                raise
            raise _unreadable(what, path, error) from error
        return {"file_name": path, **self._augmented(array)}

    def _from_pil(self, image: Image.Image) -> np.ndarray:
        """The image, upright, in the mapper's format."""
        problem = self._checks.problem(ImageHeader(image.mode, image.height, image.width))
        if problem:
            raise UserError(f"the image {problem}; {_SCALE}")
        if not all(image.size):
            raise UserError(f"the image has {image.width} x {image.height} pixels: give another")
        upright = ImageOps.exif_transpose(image)
        return detection_utils.convert_PIL_to_numpy(upright, self.mapper.image_format)

    def _from_array(self, array: np.ndarray) -> np.ndarray:
        """The array in the mapper's format."""
        array = three_channels(array, _SCALE)
        wanted = self.mapper.image_format
        if wanted == self._order:
            return np.ascontiguousarray(array)
        turned = np.ascontiguousarray(array[:, :, ::-1])
        if wanted in ("BGR", "RGB"):
            return turned
        rgb = array if self._order == "RGB" else turned
        return detection_utils.convert_PIL_to_numpy(Image.fromarray(rgb), wanted)


def _can_be_decoded(path: str) -> bool:
    try:
        with PathManager.open(path, "rb") as file, Image.open(file) as image:
            image.load()
    except (*_UNREADABLE, ValueError, RuntimeError):
        return False
    return True


def _unreadable(what: str, path: str, error: Exception) -> UserError:
    """What to tell the user about a file that is no image, or a damaged one."""
    if exceeds_pixel_limit(path):
        return too_many_pixels(what)
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    if isinstance(cause, UnidentifiedImageError):
        return UserError(f"{what} is no image, or of a kind that Pillow does not read: convert it")
    reason = str(cause).strip().split("\n")[0].rstrip(".")
    return UserError(f"{what} cannot be read ({reason}): it is truncated or damaged, copy it again")
