"""One image or frame on its way from the file through the network to the outputs."""

import struct
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from detectron2.data.detection_utils import read_image
from projects_ext.data.image_files import exceeds_pixel_limit, too_many_pixels
from projects_ext.errors import UserError

from .inputs import Input
from .objects import Found, Objects
from .tiling import Model, TiledPrediction

_UNREADABLE = (
    OSError, SyntaxError, ValueError, RuntimeError, EOFError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for damaged files of one kind or another."""


@dataclass
class Job:
    """An image or a frame.

    Attributes:
        input: what it is from.
        frame: its number in the video, from 0; None for images.
        pixels: (H, W, 3) uint8 BGR of a frame.
        image: what to draw on, RGB, as soon as it has been read.
        given: the network's input.
        found: the result.
    """

    input: Input
    frame: int | None = None
    pixels: np.ndarray | None = None
    image: Image.Image | None = None
    given: Any = None
    found: Found | None = None

    def picture(self) -> Image.Image:
        """The image in RGB, upright, to draw on."""
        if self.image is None:
            if self.pixels is None:
                self.image = Image.fromarray(read_image(self.input.source, format="RGB"))
            else:
                self.image = Image.fromarray(np.ascontiguousarray(self.pixels[:, :, ::-1]))
        if self.image.mode != "RGB":
            self.image = self.image.convert("RGB")
        return self.image

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what was found."""
        if isinstance(self.found, Objects):
            return self.found.height, self.found.width
        assert self.found is not None
        return self.found.shape[0], self.found.shape[1]


class WholeImages:
    """Gives images to the network as they are.

    Args:
        model: the network.
    """

    ahead, behind = 4, 4
    """How many jobs wait to be predicted on, and to be drawn."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def prepare(self, job: Job) -> None:
        """Decode and resize, on any thread.

        Raises:
            UserError: it is no image, or a damaged one.
        """
        if job.pixels is not None:
            job.given = self._model.prepare(job.pixels)
            return
        try:
            job.given = self._model.prepare(job.input.source)
        except UserError:
            raise
        except _UNREADABLE as error:
            raise _unreadable(job.input.source, error) from error

    def predict(self, jobs: list[Job], failed: list[str]) -> list[Job]:
        """Run the network on several images.

        Args:
            jobs: prepared.
            failed: gets a sentence for each image that cannot be read.

        Returns:
            those that have a result.
        """
        found = self._model.predict([job.given for job in jobs])
        for job, one in zip(jobs, found, strict=True):
            if self._model.kind == "semantic":
                job.found = np.asarray(one)
            else:
                job.found = Objects.of(one, job.given["height"], job.given["width"])
            job.given = None
        return jobs


class ImagesInTiles:
    """Gives images to the network tile by tile; of files one at a time is in memory.

    Args:
        predict: on one image.
    """

    ahead, behind = 1, 0

    def __init__(self, predict: TiledPrediction) -> None:
        self._predict = predict

    def prepare(self, job: Job) -> None:
        """Nothing: a large image is read when the one before is done.

        Raises:
            UserError: it is no image.
        """
        if job.pixels is None:
            open_image(job.input.source).close()

    def predict(self, jobs: list[Job], failed: list[str]) -> list[Job]:
        """Run the network on the tiles of several images; otherwise as for whole images."""
        good = []
        for job in jobs:
            try:
                if job.pixels is None:
                    job.image = read_large(job.input.source)
                job.found = self._predict(job.picture() if job.image is None else job.image)
            except UserError as error:
                failed.append(f"{job.input.source}: {error.sentence}")
                continue
            good.append(job)
        return good


def open_image(path: str) -> Image.Image:
    """Open an image file without decoding it, also where Pillow warns of its size.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def read_large(path: str) -> Image.Image:
    """Decode an image file, upright, in its own mode and without a copy of its pixels.

    Raises:
        UserError: it cannot be read.
    """
    image = open_image(path)
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    return image


def _unreadable(path: str, error: Exception) -> UserError:
    what = f"the image file {path}"
    if exceeds_pixel_limit(path):
        return too_many_pixels(what)
    reason = str(error).strip().split("\n")[0].rstrip(".")
    return UserError(f"{what} cannot be read ({reason}): copy or convert it")
