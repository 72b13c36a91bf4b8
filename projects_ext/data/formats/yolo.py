"""YOLO: a line per object with the class's number, and a box or a polygon as shares of the image.

A line of five numbers is a box (center x, center y, width, height), one of seven or more a polygon,
which can have neither holes nor several parts: where a tool has joined parts by a thin bridge, that
bridge is in the data. An image without a file of labels has no objects.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from projects_ext.data.label_folders import IMAGE_SUFFIXES
from projects_ext.data.labels import image_size
from projects_ext.errors import MissingFileError, UserError

from .files import by_split, files_below
from .part import Objects, Part, Reader, Source, box_around

NAME = "YOLO"
NAME_FILES = ("classes.txt", "obj.names")
_SLACK = 0.01
"""By which a coordinate may lie outside 0 … 1: rounding, and boxes that end at the border."""


def looks_like(path: Path) -> bool:
    """Whether a file is the ``data.yaml`` of a data set: it has names and says where images are."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        return False
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError):
        return False
    is_mapping = isinstance(content, dict) and "names" in content
    return is_mapping and ("train" in content or "val" in content)


def has_labels(path: Path) -> bool:
    """Whether a folder holds files of labels, besides those that name classes."""
    return any(file.name not in NAME_FILES for file in files_below(path, (".txt",)))


def read(path: Path, files: Sequence[Path], options: Reader) -> Source:
    """Read a data set by its ``data.yaml``, or a folder with ``classes.txt``.

    Raises:
        UserError: there are several such files; or a line, a name or a path is wrong.
    """
    if len(files) > 1:
        raise UserError(
            f"{path} holds several data sets ({files[0]}, {files[1]}): give one by data=FILE"
        )
    file = files[0]
    if file.suffix.lower() not in (".yaml", ".yml"):
        return _read_folder(path, file, options)
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if "kpt_shape" in content:
        raise UserError(
            f"{file} is for key points (kpt_shape), which are not read: give a data set of boxes "
            "or polygons"
        )
    names = _names(content["names"], file)
    train, val = (_images(content, split, file) for split in ("train", "val"))
    val = val or _images(content, "test", file)
    if not train and not val:
        raise UserError(f"{file} names no images: give train and val there")
    parts = [
        _part(f"{file} ({split})", images, names)
        for split, images in (("train", train or val), ("val", val if train else []))
        if images
    ]
    # The same images twice are one part, of which a validation part is split off.
    second = parts[1] if len(parts) > 1 and train != val else None
    return Source(str(path), NAME, parts[0], second)


def _read_folder(path: Path, names_file: Path, options: Reader) -> Source:
    names = [line.strip() for line in names_file.read_text(encoding="utf-8").splitlines()]
    names = _names([name for name in names if name], names_file)
    folder = Path(options.images) if options.images else path
    splits = by_split(files_below(folder, tuple(IMAGE_SUFFIXES)), folder)
    parts = {
        split: _part(f"{path} ({split})" if len(splits) > 1 else str(path), images, names)
        for split, images in splits.items()
    }
    if not parts or not parts["train"].images:
        raise MissingFileError(f"{folder} has no images: give their folder by data.images=FOLDER")
    return Source(str(path), NAME, parts["train"], parts.get("val"))


def _names(given: Any, file: Path) -> list[str]:
    """The names by number: a list, or numbers and names."""
    if isinstance(given, dict):
        keys = [key for key in given if type(key) is int or str(key).isdigit()]
        if sorted(map(int, keys)) != list(range(len(given))):
            raise UserError(f"{file}: names has the keys {list(given)}: number them from 0")
        given = [given[key] for key in sorted(given, key=int)]
    names = [str(name) for name in given] if isinstance(given, list) else []
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        what = f"the name {twice[0]} twice" if twice else "no names"
        raise UserError(f"{file} has {what}: give each class a name of its own")
    return names


def _images(content: dict[str, Any], split: str, file: Path) -> list[Path]:
    """The images of a split: those of folders, and those that lists name."""
    given = content.get(split) or []
    given = given if isinstance(given, list) else [given]
    root = Path(str(content.get("path") or ""))
    found: list[Path] = []
    for entry in map(str, given):
        place = _place(entry, root, file)
        if place is None:
            raise MissingFileError(
                f"{file}: there is no {entry}, which {split} names: correct {split} or path there "
                "(they are relative to that file)"
            )
        if place.is_file():
            lines = place.read_text(encoding="utf-8").splitlines()
            found += [_listed(line.strip(), place, file) for line in lines if line.strip()]
        else:
            found += files_below(place, tuple(IMAGE_SUFFIXES))
    return found


def _place(entry: str, root: Path, file: Path) -> Path | None:
    """Where a path of the yaml file leads; tools write it relative to different places."""
    folder = file.parent
    trimmed = entry
    while trimmed.startswith("../"):
        trimmed = trimmed.removeprefix("../")
    tried = (folder / root / entry, root / entry, folder / entry, folder / trimmed)
    return next((place for place in tried if place.exists()), None)


def _listed(line: str, listing: Path, file: Path) -> Path:
    for place in (listing.parent / line, file.parent / line, Path(line)):
        if place.is_file():
            return place
    raise MissingFileError(f"{listing}: there is no image {line}: correct its path there")


def _part(name: str, images: Sequence[Path], names: Sequence[str]) -> Part:
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(image_size, images))
    objects = Objects()
    for image, size in zip(images, sizes, strict=True):
        objects.add_image(str(image.resolve()), size)
        labels = labels_of(image)
        if labels is None:
            continue
        for number, line in enumerate(_lines(labels), start=1):
            if line.strip():
                _add_line(objects, line, f"{labels}:{number}", size, names)
    return objects.part(name, names)


def _lines(labels: Path) -> list[str]:
    try:
        return labels.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{labels} is no text: write the labels again") from error


def labels_of(image: Path) -> Path | None:
    """The file of labels of an image: the last folder ``images`` in its path becomes ``labels``."""
    parts = list(image.with_suffix(".txt").parts)
    places = [image.with_suffix(".txt")]
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[:-1][::-1].index("images")
        parts[last] = "labels"
        places.insert(0, Path(*parts))
    return next((place for place in places if place.is_file()), None)


def _add_line(
    objects: Objects, line: str, where: str, size: tuple[int, int], names: Sequence[str]
) -> None:
    words = line.split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)) or values[0] != int(values[0]):
        raise UserError(f"{where} is not the number of a class and coordinates: write it again")
    index, coordinates = int(values[0]), values[1:]
    if not 0 <= index < len(names):
        raise UserError(
            f"{where} has the class {index}, but the {len(names)} classes are 0 to "
            f"{len(names) - 1}: correct it, or add its name"
        )
    if any(x < -_SLACK or x > 1 + _SLACK for x in coordinates):
        raise UserError(
            f"{where} has a coordinate outside 0 … 1: divide x by the image's width and y by its "
            "height"
        )
    height, width = size
    if len(coordinates) == 4:
        x, y, w, h = coordinates
        box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
        objects.add(names[index], box)
        return
    if len(coordinates) < 6 or len(coordinates) % 2:
        raise UserError(
            f"{where} has {len(coordinates)} coordinates: a box has 4, a polygon 6 or more, two "
            "per point"
        )
    scales = (width, height)
    polygon = [value * scales[place % 2] for place, value in enumerate(coordinates)]
    objects.add(names[index], box_around([polygon]), [polygon])
