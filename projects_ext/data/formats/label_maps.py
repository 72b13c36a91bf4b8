"""Folders of images and of label maps, whose files have the same names."""

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from projects_ext.data.label_folders import IMAGE_SUFFIXES, pair_files
from projects_ext.errors import UserError

from .files import files_below, split_of
from .part import Part, Reader, Record, Source

NAME = "label maps"
_IMAGES = ("images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "train", "val")
_WORDS = ("label", "mask", "annotation", "segmentation", "gtfine")
CLASS_FILES = ("classes.txt", "classes.json", "labels.txt", "class_names.txt")


def label_folders(folder: Path) -> list[Path]:
    """The folders, at the top or one level below, that look like label maps: grey PNG files."""
    places = [one for one in sorted(folder.iterdir()) if one.is_dir()]
    places += [two for one in places for two in sorted(one.iterdir()) if two.is_dir()]
    named = [p for p in places if any(word in p.name.lower() for word in _WORDS)]
    return [p for p in named if not any(q in p.parents for q in named) and _has_maps(p)]


def _has_maps(folder: Path) -> bool:
    files = files_below(folder, (".png",))
    if not files:
        return False
    with Image.open(files[0]) as image:
        return image.mode in ("L", "P", "1", "I;16")


def read(path: Path, files: Sequence[Path], options: Reader) -> Source:
    """Read the folder of images and the folder of label maps in a folder.

    Args:
        path: the folder.
        files: the folders of label maps in it.
        options: what cannot be told from it.

    Raises:
        UserError: several folders could be meant, or the classes are not named.
    """
    splits: dict[str, list[Record]] = {}
    classes: Sequence[str] = options.classes
    folders = _folders(path, files, options)
    for of, labels in folders.items():
        images = Path(options.images) if options.images else _images(path, labels)
        classes = classes or _classes(path, labels)
        for record in pair_files(str(images), str(labels)):
            split = of or split_of(Path(record["sem_seg_file_name"]).parent / "x", labels)
            splits.setdefault(split, []).append(record)
    if "val" not in splits and "test" in splits:
        splits["val"] = splits.pop("test")
    if "train" not in splits:
        splits = {"train": [record for records in splits.values() for record in records]}
    name = ", ".join(map(str, folders.values()))
    parts = {
        split: _part(f"{name} ({split})" if len(splits) > 1 else name, some, classes)
        for split, some in splits.items()
        if split in ("train", "val")
    }
    return Source(str(path), NAME, parts["train"], parts.get("val"), of_maps=True)


def _part(name: str, records: Sequence[Record], classes: Sequence[str]) -> Part:
    images = []
    for number, record in enumerate(records, start=1):
        names = {key: str(Path(record[key]).resolve()) for key in record if "file_name" in key}
        images.append({**record, **names, "id": number})
    return Part(name, images, classes=tuple(classes))


def _folders(path: Path, files: Sequence[Path], options: Reader) -> dict[str, Path]:
    """The folder of label maps under "", or one of each split by its name."""
    by_split = {split_of(file / "x", path): file for file in files}
    if not options.labels and "train" in by_split and 1 < len(by_split) == len(files):
        return by_split
    return {"": _labels(path, files, options)}


def _labels(path: Path, files: Sequence[Path], options: Reader) -> Path:
    if options.labels:
        below = path / options.labels
        return below if below.is_dir() else Path(options.labels)
    if len(files) > 1:
        names = ", ".join(file.relative_to(path).as_posix() for file in files[:4])
        raise UserError(
            f"{path} holds several folders of label maps ({names}): say which is meant by "
            f"data.labels={files[0].relative_to(path).as_posix()}"
        )
    return files[0]


def _images(path: Path, labels: Path) -> Path:
    """The folder of images next to the label maps: the one in which their names are."""
    wanted = {file.relative_to(labels).with_suffix("") for file in files_below(labels, (".png",))}
    places = {*labels.parent.iterdir(), *path.iterdir(), labels.parent, path}
    best, most = path, 0
    for place in sorted(place for place in places if place.is_dir() and place != labels):
        files = (
            file.relative_to(place).with_suffix("")
            for file in files_below(place, tuple(IMAGE_SUFFIXES))
            if labels not in file.parents
        )
        count = len(wanted & set(files)) * 2 + (place.name.lower() in _IMAGES)
        if count > most and count > 1:
            best, most = place, count
    if not most:
        raise UserError(
            f"no folder in {path} has images of the same names as the label maps in {labels}: give "
            "it by data.images=FOLDER"
        )
    return best


def _classes(path: Path, labels: Path) -> list[str]:
    """The names in a file next to the label maps: a line each, or a list in json."""
    for name in CLASS_FILES:
        for file in dict.fromkeys((labels / name, labels.parent / name, path / name)):
            if file.is_file():
                return _names_in(file, labels)
    raise UserError(
        f"the classes of the label maps in {labels} are not named: add data.classes=[NAME,NAME,…] "
        f"in the order of the labels, or write them into {path / 'classes.txt'}, one per line"
    )


def _names_in(file: Path, labels: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{file} is not valid json ({error}): write it again") from error
    lists = content if isinstance(content, dict) else {"": content}
    lists = {
        key: names
        for key, names in lists.items()
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    }
    if labels.name in lists:
        return lists[labels.name]
    if len(lists) != 1:
        raise UserError(
            f"{file} holds {len(lists)} lists of names: add data.classes={file}:KEY with the one "
            f"that is meant{' (' + ', '.join(lists) + ')' if lists else ''}"
        )
    return next(iter(lists.values()))
