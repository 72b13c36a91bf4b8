"""What to predict on: which files, folders, patterns and cameras are meant, and output names."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from PIL import Image

from projects_ext.errors import MissingFileError, UserError

VIDEO_ENDINGS = frozenset(
    (
        ".3gp",
        ".avi",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
    )
)
WRITABLE = frozenset({".jpg", ".jpeg", ".png"})
"""The kinds of images that are written as they are read; others become PNG."""

Kind = Literal["image", "video", "camera"]


NAMED = 5
"""How many of several inputs that are wrong in the same way are named."""


class UnusableInputError(MissingFileError):
    """A word of the command line that stands for nothing to predict on.

    Args:
        problem: what is wrong, with ``{}`` in place of the name.
        name: the word, or a file that it stands for.
        remedy: what to do.
    """

    def __init__(self, problem: str, name: object, remedy: str) -> None:
        super().__init__(f"{problem.format(name)}: {remedy}")
        self.problem, self.name = problem, str(name)


@dataclass(frozen=True)
class Input:
    """An image, a video or a camera.

    Attributes:
        kind: which of them.
        source: the path, or the camera's number.
        name: of the outputs: a relative path without ending, different for each input.
    """

    kind: Kind
    source: str
    name: str


def image_endings() -> frozenset[str]:
    """The endings of the files that Pillow reads as images."""
    Image.init()
    readable = {ending for ending, kind in Image.registered_extensions().items()
                if kind in Image.OPEN}  # fmt: skip
    return frozenset(readable - VIDEO_ENDINGS - {".pdf", ".eps", ".ps", ".h5", ".hdf"})


def find_inputs(
    words: Sequence[str],
    videos: Sequence[str] = (),
    cameras: Sequence[int] = (),
    output: Path | None = None,
) -> list[Input]:
    """All inputs that the command line asks for, each once, with names for their outputs.

    Args:
        words: files, folders (with all folders in them), patterns with ``*``, ``?`` or ``[``, and
            cameras as ``camera:0``. A file is a video if it ends as one.
        videos: files that are videos, whatever their ending.
        cameras: numbers.
        output: the folder of the outputs: a folder that contains it is searched without it.

    Raises:
        UserError: something is not there, or there is nothing in it; all of these are named.
    """
    found: dict[str, tuple[Kind, PurePath]] = {}
    unusable: list[UnusableInputError] = []
    for word in words:
        if word.startswith("camera:"):
            cameras = [*cameras, camera_number(word)]
            continue
        try:
            files = _files(word, output)
        except UnusableInputError as error:
            unusable.append(error)
            continue
        for path, name in files:
            kind: Kind = "video" if path.suffix.lower() in VIDEO_ENDINGS else "image"
            found.setdefault(str(path), (kind, name))
    for path in map(Path, videos):
        try:
            _require_file(path)
        except UnusableInputError as error:
            unusable.append(error)
        found[str(path)] = ("video", PurePath(path.name))
    _require_usable(unusable)
    names = different_names(list(found), [name for _, name in found.values()])
    inputs = [
        Input(kind, path, name)
        for (path, (kind, _)), name in zip(found.items(), names, strict=True)
    ]
    inputs += [
        Input("camera", str(number), f"camera_{number}") for number in dict.fromkeys(cameras)
    ]
    if not inputs:
        raise UserError("there is nothing to predict on: add --input FILE_OR_FOLDER or --webcam")
    return inputs


def _require_usable(unusable: Sequence[UnusableInputError]) -> None:
    """Refuse to start without some of the inputs, in one sentence for all of them."""
    if len(unusable) == 1:
        raise unusable[0]
    if unusable:
        names: dict[str, list[str]] = {}
        for error in unusable:
            names.setdefault(error.problem, []).append(error.name)
        problems = (problem.format(listed(these)) for problem, these in names.items())
        raise MissingFileError(f"{'; '.join(problems)}: correct these")


def listed(names: Sequence[str]) -> str:
    """The first names of many, and the number of the others."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def camera_number(word: str) -> int:
    """The number in ``camera:0``.

    Raises:
        UserError: there is none.
    """
    number = word.partition(":")[2]
    if not number.isdecimal():
        raise UserError(f"{word} is no camera: write camera:0 for the first one")
    return int(number)


def _files(word: str, output: Path | None) -> list[tuple[Path, PurePath]]:
    """The files that a word of the command line stands for, each with a name for its output."""
    path = Path(word).expanduser()
    if path.is_dir():
        return _in_folder(path, output)
    if path.exists() or not glob.has_magic(word):
        _require_file(path)
        return [(path, PurePath(path.name))]
    matches = sorted(map(Path, glob.glob(str(path), recursive=True)))
    known = image_endings() | VIDEO_ENDINGS
    files = [x for x in matches if x.is_file() and x.suffix.lower() in known]
    if not files:
        raise UnusableInputError("no image or video matches {}", word, "correct the pattern")
    return [(x, PurePath(x.name)) for x in files]


def _require_file(path: Path) -> None:
    if not path.exists():
        raise UnusableInputError("there is no file or folder {}", path, "correct the path")
    if not path.is_file():
        raise UnusableInputError("{} is no file", path, "give an image, a video or a folder")


def _in_folder(folder: Path, output: Path | None) -> list[tuple[Path, PurePath]]:
    """Images and videos in a folder and the folders in it, in order; hidden ones are left out."""
    known = image_endings() | VIDEO_ENDINGS
    skipped = None if output is None else output.resolve()
    if skipped == folder.resolve():
        skipped = None
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            x for x in folders if not x.startswith(".") and (Path(parent) / x).resolve() != skipped
        )
        files += [Path(parent) / x for x in sorted(names) if not x.startswith(".")]
    files = [path for path in files if path.suffix.lower() in known]
    if not files:
        raise UnusableInputError(
            "there is no image or video in the folder {}", folder, "give another"
        )
    return [(path, PurePath(path.relative_to(folder))) for path in files]


def different_names(paths: Sequence[str], names: Iterable[PurePath]) -> list[str]:
    """A different output name without ending for each input.

    Args:
        paths: of the inputs, all different.
        names: the ones to take if they differ; else their folders, then their endings tell them
            apart.
    """
    plain = [name.with_suffix("") for name in names]
    with_endings = [
        name.with_name(Path(path).name) for name, path in zip(plain, paths, strict=True)
    ]
    if _clash(plain) and _clash(with_endings):
        absolute = [Path(os.path.abspath(path)) for path in paths]
        common = os.path.commonpath([path.parent for path in absolute])
        plain = [path.relative_to(common).with_suffix("") for path in absolute]
    counts = Counter(str(name).lower() for name in plain)
    return [
        str(name.with_name(Path(path).name) if counts[str(name).lower()] > 1 else name)
        for name, path in zip(plain, paths, strict=True)
    ]


def _clash(names: Sequence[PurePath]) -> bool:
    """Whether two names are the same, on file systems that ignore case too."""
    return len({str(name).lower() for name in names}) < len(names)
