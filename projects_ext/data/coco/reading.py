"""A COCO-format file as its lists of images, annotations and categories, strictly checked.

What is wrong with images or categories is refused here; annotations are only known to be objects
with the keys that each must have (:mod:`projects_ext.data.coco.findings` looks at their values).
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects_ext.errors import UserError

Record = dict[str, Any]

LARGEST_ID = 2**53
"""Evaluators keep ids as floats, which hold whole numbers exactly up to here."""
MOST_PIXELS = 2**31 - 1
"""The mask library counts an image's pixels in 32 bits."""


@dataclass(frozen=True)
class CocoFile:
    """The content of one file.

    Attributes:
        path: where it was read from.
        content: all of it.
        encoding: of the text, ``"utf-8"`` for a file that every reader understands.
    """

    path: str
    content: Record
    encoding: str

    @property
    def images(self) -> list[Record]:
        """With whole ids, each once; ``width`` and ``height`` may be None."""
        return self.content["images"]

    @property
    def annotations(self) -> list[Record]:
        """Each with ``image_id``, ``category_id`` and ``bbox``, of whatever value."""
        return self.content["annotations"]

    @property
    def categories(self) -> list[Record]:
        """With whole ids, each once, and names."""
        return self.content["categories"]


def read_coco(json_file: str) -> CocoFile:
    """Read a file and check its structure, its images and its categories.

    Raises:
        UserError: it is not json or not in COCO format, or an image or a category is wrong.
    """
    content, encoding = _read_json(json_file)
    keys = set(content) if isinstance(content, dict) else set()
    missing = sorted({"images", "annotations", "categories"} - keys)
    if missing:
        raise UserError(
            f"{json_file} is not in COCO format: it has no {' and no '.join(missing)}; give the "
            "annotation file of an instance segmentation or detection data set"
        )
    _require_entries(json_file, "images", content["images"], {"id", "file_name"})
    _require_entries(
        json_file, "annotations", content["annotations"], {"image_id", "category_id", "bbox"}
    )
    _require_entries(json_file, "categories", content["categories"], {"id", "name"})
    for key in ("images", "categories"):
        if not content[key]:
            what = "images: add some" if key == "images" else "categories: add those of its objects"
            raise UserError(f"{json_file} has an empty list of {what}")
        _require_ids(json_file, key, content[key])
    _require_names(json_file, content["categories"])
    _require_images(json_file, content["images"])
    return CocoFile(json_file, content, encoding)


def _read_json(json_file: str) -> tuple[Any, str]:
    raw = Path(json_file).read_bytes()
    try:
        return json.loads(raw), json.detect_encoding(raw)
    except ValueError as error:
        raise UserError(f"{json_file} is not valid json ({error}): write it again") from error
    except RecursionError as error:
        raise UserError(
            f"{json_file} is not in COCO format: its lists are nested too deeply; write it again"
        ) from error


def _require_entries(json_file: str, key: str, entries: Any, needed: set[str]) -> None:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{json_file} is not in COCO format: {key} must be a list of objects")
    lacking = [entry for entry in entries if not needed <= entry.keys()]
    if lacking:
        keys = ", ".join(sorted(needed - lacking[0].keys()))
        known = lacking[0].get("id")
        which = f"number {entries.index(lacking[0]) + 1}" if known is None else f"with id {known}"
        raise UserError(
            f"{json_file}: the entry {which} of {key} has no {keys}"
            f"{and_more(len(lacking))}: add it, or take the entry out"
        )


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, as 3 and 3.0 are; booleans are none."""
    return type(value) is int or (type(value) is float and value.is_integer())


def is_text(value: Any) -> bool:
    """Whether a value is a text with something in it, of characters that can be written."""
    try:
        return type(value) is str and bool(value.strip()) and bool(value.encode("utf-8"))
    except UnicodeEncodeError:  # half a pair of surrogates
        return False


def shown(value: Any) -> str:
    """A value as the file has it, shortened; what only looks like a number is named."""
    ascii_only = not is_text(value)
    text = json.dumps(value, ensure_ascii=ascii_only)
    text = text if len(text) <= 40 else f"{text[:40]}…"
    kind = {str: "text", bool: "a boolean"}.get(type(value))
    return f"{text} ({kind})" if kind else text


def and_more(count: int) -> str:
    """What follows the first of ``count`` cases."""
    return f", and {count - 1} more like it" if count > 1 else ""


def _require_ids(json_file: str, key: str, entries: Sequence[Record]) -> None:
    wrong = [e["id"] for e in entries if not is_whole(e["id"]) or abs(e["id"]) > LARGEST_ID]
    if wrong:
        raise UserError(
            f"{json_file}: an entry of {key} has the id {shown(wrong[0])}{and_more(len(wrong))}: "
            "ids are whole numbers, without quotes"
        )
    (identity, count), *_ = Counter(entry["id"] for entry in entries).most_common(1)
    if count > 1:
        raise UserError(
            f"{json_file}: {count} {key} have the id {identity}: give each an id of its own"
        )


def _require_names(json_file: str, categories: Sequence[Record]) -> None:
    for category in categories:
        name = category["name"]
        is_number = type(name) in (int, float) and math.isfinite(name)
        if not is_number and not is_text(name):
            raise UserError(
                f"{json_file}: category {category['id']} has the name {shown(name)}: give it a name"
            )


def _require_images(json_file: str, images: Sequence[Record]) -> None:
    for wrong in _wrong_images(images):
        raise UserError(f"{json_file}: {wrong}")


def _wrong_images(images: Sequence[Record]) -> Iterator[str]:
    unnamed = [image for image in images if not is_text(image["file_name"])]
    if unnamed:
        yield (
            f"image {unnamed[0]['id']} has the file_name {shown(unnamed[0]['file_name'])}"
            f"{and_more(len(unnamed))}: write the name of its file"
        )
    for key in ("width", "height"):
        sizes = (image.get(key) for image in images)
        wrong = [not (size is None or (is_whole(size) and size >= 1)) for size in sizes]
        if any(wrong):
            first = images[wrong.index(True)]
            yield (
                f"image {first['id']} ({first['file_name']}) has the {key} {shown(first[key])}"
                f"{and_more(sum(wrong))}: write a positive whole number of pixels, without quotes"
            )
    for image in images:
        if (image.get("width") or 1) * (image.get("height") or 1) > MOST_PIXELS:
            yield (
                f"image {image['id']} ({image['file_name']}) is said to have {image['width']} x "
                f"{image['height']} pixels: correct its width and height, or split the image"
            )
