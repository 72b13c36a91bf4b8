"""Annotated images and videos."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from projects_ext.errors import UserError

from .drawing import Colour, draw
from .inputs import VIDEO_ENDINGS, WRITABLE, Input, image_endings
from .jobs import Job
from .outputs import Output, make_folder, unwritable
from .video import VideoWriter


class PictureOutput(Output):
    """Draws what was found, into an image per image and a video per video.

    Args:
        paths: of the outputs, by the name of the input.
        names, colours: of the classes.
        fps: frames per second of the videos, by the name of the input; they may follow.
        extent: see :func:`projects_ext.prediction.drawing.draw`.
    """

    def __init__(
        self,
        paths: dict[str, Path],
        names: Sequence[str],
        colours: Sequence[Colour],
        fps: dict[str, float],
        extent: int | None = None,
    ) -> None:
        self._paths, self._names, self._colours, self._fps = paths, names, colours, fps
        self._extent = extent
        self._video: tuple[str, VideoWriter] | None = None
        self._open = ExitStack()

    def write(self, job: Job) -> None:
        """Draw and write an image or a frame."""
        assert job.found is not None
        picture = job.picture()
        draw(picture, job.found, self._names, self._colours, self._extent)
        path = self._paths[job.input.name]
        make_folder(path.parent)
        if job.frame is None:
            save_image(picture, path)
        else:
            self._writer(job.input.name, path).write(np.asarray(picture)[:, :, ::-1])

    def _writer(self, name: str, path: Path) -> VideoWriter:
        """The video that is written; the one before is finished."""
        if self._video is None or self._video[0] != name:
            self._open.close()
            writer = self._open.enter_context(VideoWriter(path, self._fps[name]))
            self._video = name, writer
        return self._video[1]

    def close(self) -> None:
        """Finish the video."""
        self._open.close()


def save_image(image: Image.Image, path: Path) -> None:
    """Write an image in the format of its name's ending.

    Raises:
        UserError: it cannot be written.
    """
    options: dict[str, Any] = (
        {"compress_level": 1} if path.suffix.lower() == ".png" else {"quality": 95}
    )
    try:
        image.save(path, **options)
    except OSError as error:
        raise unwritable(path, error) from error


def picture_paths(inputs: Sequence[Input], output: Path) -> dict[str, Path]:
    """Where the annotated image or video of each input goes, by the input's name.

    Args:
        inputs: all of them.
        output: a folder; or, for a single input, a file.

    Raises:
        UserError: a file for several inputs or of another kind.
    """
    if is_file(output):
        paths = {inputs[0].name: output}
        kinds, what = (WRITABLE, "image") if inputs[0].kind == "image" else ({".mp4"}, "video")
        if len(inputs) > 1:
            raise UserError(
                f"--output {output} is one file, but there are {len(inputs)} inputs: give a folder"
            )
        if output.suffix.lower() not in kinds:
            raise UserError(
                f"--output {output}: give a folder, or for the annotated {what} a file "
                f"that ends in {' or '.join(sorted(kinds))}"
            )
    else:
        paths = {x.name: output / (x.name + _ending(x)) for x in inputs}
    return paths


def require_no_input(paths: Iterable[Path], inputs: Sequence[Input]) -> None:
    """Refuse outputs that would overwrite an input.

    Args:
        paths: of the outputs.
        inputs: all of them.

    Raises:
        UserError: the first of these.
    """
    sources = {Path(x.source).resolve(): x.source for x in inputs if x.kind != "camera"}
    for path in paths:
        if path.resolve() in sources:
            raise UserError(
                f"the output would overwrite the input {sources[path.resolve()]}: give another "
                "folder by --output"
            )


def is_file(output: Path) -> bool:
    """Whether --output names a file, by its ending."""
    files = image_endings() | VIDEO_ENDINGS | {".csv", ".json"}
    return output.suffix.lower() in files and not output.is_dir()


def _ending(source: Input) -> str:
    if source.kind != "image":
        return ".mp4"
    ending = Path(source.source).suffix.lower()
    return ending if ending in WRITABLE else ".png"
