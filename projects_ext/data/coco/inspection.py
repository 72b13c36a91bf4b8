"""What a COCO-format file holds, found once for each content."""

import gc
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from projects_ext.data.image_files import size_as_read
from projects_ext.errors import UserError

from .findings import Context, Finding
from .problems import find_problems
from .reading import CocoFile, Record, and_more, is_whole, read_coco


@dataclass(frozen=True)
class Inspection:
    """What a COCO-format file holds.

    Attributes:
        classes: the names of its categories, in the order of their ids, each once.
        files: the ``file_name`` of each image.
        unsized: how many images come without width or height.
        findings: what is wrong with its annotations, each kind once.
        repeated_names: names that several categories have.
        objects: how many annotations each class has.
        crowds: how many of them are marked ``iscrowd=1``.
        ignored: how many are marked ``ignore=1`` and not as crowds.
        has_masks: whether any annotation has a segmentation.
        is_plain: whether Detectron2 and its evaluators read the file rightly as it is, as far as
            nothing is to be left out.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    unsized: int
    findings: tuple[Finding, ...]
    repeated_names: tuple[str, ...]
    objects: Counter[str]
    crowds: Counter[str]
    ignored: int
    has_masks: bool
    is_plain: bool


def inspect(json_file: str, image_root: str | None = None) -> Inspection:
    """Read and check a file; a second call for the same content costs nothing.

    Args:
        json_file: the file.
        image_root: the folder of its images, where the sizes that the file lacks are read.

    Raises:
        UserError: the file is not json, or not COCO's format; its ``images`` or ``categories`` lack
            something, or the size of an image cannot be read. What is wrong with annotations alone
            is in the result.
    """
    status = os.stat(json_file)
    found = _inspect(json_file, status.st_mtime_ns, status.st_size, None)
    if found.unsized and image_root is not None:
        found = _inspect(json_file, status.st_mtime_ns, status.st_size, image_root)
    return found


@contextmanager
def _no_collection() -> Iterator[None]:
    """Within, Python does not look for garbage among millions of objects that are all in use."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@lru_cache(maxsize=16)
@_no_collection()
def _inspect(json_file: str, modified: int, size: int, image_root: str | None) -> Inspection:
    file = read_coco(json_file)
    unsized = sum(_is_unsized(image) for image in file.images)
    is_plain = _is_plain(file)
    if image_root is not None:
        fill_in_sizes(file, image_root)
    names = class_names(file.categories)
    context = Context({image["id"]: image for image in file.images}, frozenset(names))
    findings = tuple(find_problems(file.annotations, context))
    objects: Counter[str] = Counter()
    crowds: Counter[str] = Counter()
    ignored = 0
    # Without masks, a file may be used that has nothing else wrong with it.
    if not any(finding.action == "refuse" and not finding.of_masks for finding in findings):
        objects.update(names[a["category_id"]] for a in file.annotations)
        crowds.update(names[a["category_id"]] for a in file.annotations if a.get("iscrowd"))
        ignored = sum(bool(a.get("ignore")) and not a.get("iscrowd") for a in file.annotations)
    return Inspection(
        classes=tuple(names[identity] for identity in sorted(names)),
        files=tuple(image["file_name"] for image in file.images),
        unsized=unsized,
        findings=findings,
        repeated_names=_repeated(file.categories),
        objects=objects,
        crowds=crowds,
        ignored=ignored,
        has_masks=any(a.get("segmentation") for a in file.annotations),
        is_plain=is_plain,
    )


def class_names(categories: list[Record]) -> dict[Any, str]:
    """The name of each category by its id; names that occur again get their ids added."""
    names: dict[Any, str] = {}
    for category in sorted(categories, key=lambda category: category["id"]):
        name = str(category["name"])
        while name in names.values():
            name = f"{name} (id {category['id']})"
        names[category["id"]] = name
    return names


def _repeated(categories: list[Record]) -> tuple[str, ...]:
    counts = Counter(str(category["name"]) for category in categories)
    return tuple(name for name, count in counts.items() if count > 1)


def _is_unsized(image: Record) -> bool:
    return image.get("width") is None or image.get("height") is None


def _is_plain(file: CocoFile) -> bool:
    """Whether no value has to be filled in or written in another way."""
    return (
        file.encoding == "utf-8"
        and all(type(category["name"]) is str for category in file.categories)
        and all(type(i.get("width")) is type(i.get("height")) is int for i in file.images)
        and all(
            # Evaluators take the id 0 for none, and need the other two keys.
            is_whole(a.get("id")) and a["id"] > 0 and "area" in a and "iscrowd" in a
            for a in file.annotations
        )
        and not any(a.get("ignore") or a.get("segmentation") == {} for a in file.annotations)
    )


def fill_in_sizes(file: CocoFile, image_root: str) -> None:
    """Write the sizes that the file lacks into its images, from the headers of the image files.

    Raises:
        UserError: an image cannot be read.
    """
    unsized = [image for image in file.images if _is_unsized(image)]
    for image in unsized:
        path = Path(image_root) / image["file_name"]
        try:
            height, width = size_as_read(str(path))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            lacking = " and ".join(key for key in ("height", "width") if image.get(key) is None)
            raise UserError(
                f"{file.path}: the entry of images with id {image['id']} has no {lacking}"
                f"{and_more(len(unsized))}, and {path} cannot be read for it: add it, or take the "
                "image out"
            ) from error
        image["width"], image["height"] = width, height
