"""Detections and their ground truth, read, checked and numbered without gaps."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects_ext.data.coco.inspection import class_names, fill_in_sizes
from projects_ext.data.coco.reading import CocoFile, Record, and_more, read_coco
from projects_ext.data.coco.shapes import Fault, Mask, is_no_mask, measure
from projects_ext.errors import MissingFileError, UserError

TASKS = {"bbox": "boxes", "segm": "masks"}
"""COCO's names of what is compared, and ours."""


@dataclass(frozen=True)
class ImageEntry:
    """One image.

    Attributes:
        name: as the ground truth has it.
        path: where it should lie; it may be missing.
        width, height: in pixels.
    """

    name: str
    path: Path
    width: int
    height: int


@dataclass(frozen=True)
class Results:
    """What was found, and what is there.

    Attributes:
        truth_file, results_file: where they were read from.
        classes: their names; a record's ``category_id`` is a place in here, from 1.
        images: a record's ``image_id`` is a place in here, from 1.
        objects: COCO annotations with the ids 1, 2, ...
        detections: COCO results with the ids 1, 2, ... in the order of the file.
        tasks: what can be evaluated, out of :data:`TASKS`; the last one says most.
    """

    truth_file: str
    results_file: str
    classes: tuple[str, ...]
    images: tuple[ImageEntry, ...]
    objects: tuple[Record, ...]
    detections: tuple[Record, ...]
    tasks: tuple[str, ...]


def read_results(
    results_file: str | Path, truth_file: str | Path, image_root: str | Path
) -> Results:
    """Read both files.

    Args:
        results_file: a list in COCO's results format.
        truth_file: annotations in COCO format.
        image_root: the folder that ``file_name`` entries are relative to.

    Raises:
        MissingFileError: a file is not there.
        UserError: a file has not its format, or they do not belong together.
    """
    for file in (results_file, truth_file):
        if not Path(file).is_file():
            raise MissingFileError(f"{file} is no file: correct the path")
    truth = read_coco(str(truth_file))
    fill_in_sizes(truth, str(image_root))
    images, categories = _numbers(truth.images), _numbers(truth.categories)
    names = class_names(truth.categories)
    detections = _read_detections(str(results_file), truth, images, categories)
    objects = _read_objects(truth, images, categories)
    return Results(
        str(truth_file),
        str(results_file),
        tuple(names[identity] for identity in categories),
        tuple(
            ImageEntry(
                image["file_name"],
                Path(image_root) / image["file_name"],
                int(image["width"]),
                int(image["height"]),
            )
            for image in sorted(truth.images, key=lambda image: image["id"])
        ),
        tuple(objects),
        tuple(detections),
        _tasks(objects, detections, str(results_file)),
    )


def _numbers(entries: Sequence[Record]) -> dict[Any, int]:
    """id -> its place in rising order, from 1; equal scores are sorted by it."""
    return {identity: n for n, identity in enumerate(sorted(e["id"] for e in entries), start=1)}


def _read_objects(
    truth: CocoFile, images: dict[Any, int], categories: dict[Any, int]
) -> list[Record]:
    objects: list[Record] = []
    for place, given in enumerate(truth.annotations):
        where = f"{truth.path}: annotation {given.get('id', place)}"
        if given["image_id"] not in images or given["category_id"] not in categories:
            raise UserError(
                f"{where} is of image {given['image_id']} and category {given['category_id']}, "
                "and one of them is not in the file: add it, or take the annotation out"
            )
        objects.append(
            {
                "id": place + 1,
                "image_id": images[given["image_id"]],
                "category_id": categories[given["category_id"]],
                "bbox": _box(given["bbox"], where),
                "iscrowd": int(bool(given.get("iscrowd", 0))),
            }
        )
    masks = _measured(truth, truth.annotations, f"{truth.path}: annotation")
    for one, given, mask in zip(objects, truth.annotations, masks, strict=True):
        if mask is not None:
            one["segmentation"] = given["segmentation"]
        area = given.get("area")
        width, height = one["bbox"][2:]
        pixels = mask.area if mask is not None else width * height
        one["area"] = area if _is_number(area) else pixels
    return objects


def _read_detections(
    file: str, truth: CocoFile, images: dict[Any, int], categories: dict[Any, int]
) -> list[Record]:
    try:
        content = json.loads(Path(file).read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid json ({error}): evaluate the run again") from error
    needed = {"image_id", "category_id", "score"}
    if not isinstance(content, list) or not all(
        isinstance(one, dict) and needed <= one.keys() for one in content
    ):
        raise UserError(
            f"{file} is not in COCO's results format: give the coco_instances_results.json of an "
            "evaluation, a list of objects with image_id, category_id, score and bbox"
        )
    detections: list[Record] = []
    for place, given in enumerate(content):
        where = f"{file}: detection {place}"
        _require_known(given, "image_id", images, where, truth.path)
        _require_known(given, "category_id", categories, where, truth.path)
        if not _is_number(given["score"]):
            raise UserError(f"{where} has the score {given['score']}: it must be a finite number")
        detections.append(
            {
                "id": place + 1,
                "image_id": images[given["image_id"]],
                "category_id": categories[given["category_id"]],
                "score": float(given["score"]),
            }
        )
        if "bbox" in given:
            detections[-1]["bbox"] = _box(given["bbox"], where)
    masks = _measured(truth, content, f"{file}: detection")
    for one, given, mask in zip(detections, content, masks, strict=True):
        if given.get("segmentation") is not None:
            one["segmentation"] = given["segmentation"]
            if "bbox" not in one:
                left, top, right, bottom = mask.extent if mask else (0, 0, 0, 0)
                one["bbox"] = [left, top, right - left, bottom - top]
        if "bbox" not in one:
            raise UserError(f"{file}: a detection has neither bbox nor segmentation: add one")
    return detections


def _require_known(
    given: Record, key: str, known: dict[Any, int], where: str, truth_file: str
) -> None:
    value = given[key]
    if not isinstance(value, int | float) or value not in known:
        raise UserError(
            f"{where} has the {key} {value}, which {truth_file} does not have: give the ground "
            "truth that the results are of"
        )


def _measured(truth: CocoFile, given: Sequence[Record], where: str) -> list[Mask | None]:
    """The masks in numbers; those without any area, or none at all, as None.

    Raises:
        UserError: a mask cannot be used.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth.images}
    found = measure(
        [one.get("segmentation") for one in given], [sizes[one["image_id"]] for one in given]
    )
    wrong = [p for p, m in enumerate(found) if isinstance(m, Fault) and m.kind != "flat"]
    if wrong:
        raise UserError(
            f"{where} {given[wrong[0]].get('id', wrong[0])} has a mask that is no polygon or RLE "
            f"of its image{and_more(len(wrong))}: correct it, or take it out"
        )
    return [mask if isinstance(mask, Mask) else None for mask in found]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _box(value: Any, where: str) -> list[float]:
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
        raise UserError(f"{where} has the bbox {value}: write x, y, width and height in pixels")
    if value[2] < 0 or value[3] < 0:
        raise UserError(
            f"{where} has the bbox {value}, of negative width or height: write x, y, width and "
            "height in pixels"
        )
    return [float(number) for number in value]


def _tasks(objects: list[Record], detections: list[Record], file: str) -> tuple[str, ...]:
    """Boxes can always be compared, masks where both sides have them."""
    masks = [not is_no_mask(one.get("segmentation")) for one in detections]
    truth = [not is_no_mask(one.get("segmentation")) or bool(one["iscrowd"]) for one in objects]
    if any(masks) and not all(masks):
        raise UserError(
            f"{file}: {len(masks) - sum(masks)} of {len(masks)} detections have no mask: give all "
            "of them one, or none"
        )
    # Without detections the ground truth decides.
    has_masks = (
        bool(truth) and all(truth) and all(masks) and any("segmentation" in one for one in objects)
    )
    return ("bbox", "segm") if has_masks else ("bbox",)


def count_objects(results: Results) -> int:
    """How many objects there are to be found: without crowds."""
    return sum(not one["iscrowd"] for one in results.objects)


def size_warning(results: Results) -> str:
    """A sentence if many boxes leave their images: the ground truth may be of other data."""
    outside = 0
    for one in results.detections:
        image, (x, y, width, height) = results.images[one["image_id"] - 1], one["bbox"]
        outside += x + width > image.width + 2 or y + height > image.height + 2
    if outside <= 0.1 * len(results.detections):
        return ""
    return (
        f"{outside} of {len(results.detections)} detections reach beyond the images that "
        f"{results.truth_file} describes: it may not be the ground truth of these results."
    )


def sizes_of(results: Results) -> np.ndarray:
    """Height and width of each image, (N, 2)."""
    return np.array([(image.height, image.width) for image in results.images], dtype=int)
