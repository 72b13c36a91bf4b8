"""Whether a file holds what COCO's format promises, before anything is built on it.

A data set of the size of COCO (118 000 images, 860 000 annotations) takes a few seconds besides the
reading of the file.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from projects_ext.errors import MissingFileError, UserError

logger = logging.getLogger("detectron2.projects_ext")

Record = dict[str, Any]

SHORTEST_POLYGON = 6
"""Three points, each x and y."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with some annotations.

    Attributes:
        what: the first case, with its ids, and how many there are.
        remedy: what to correct.
        can_be_left_out: whether Detectron2 leaves such annotations out by itself.
    """

    what: str
    remedy: str
    can_be_left_out: bool = False


@dataclass(frozen=True)
class Inspection:
    """What a COCO-format file holds.

    Attributes:
        classes: the names of its categories, in the order of their ids.
        files: the ``file_name`` of each image.
        problems: with its annotations, each kind once.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    problems: tuple[Problem, ...]


def inspect(json_file: str) -> Inspection:
    """Read and check a file; a second call for the same content costs nothing.

    Raises:
        UserError: the file is not json, or not COCO's format; its ``images`` or ``categories`` lack
            something. What is wrong with annotations alone is in the result.
    """
    status = os.stat(json_file)
    return _inspect(json_file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _inspect(json_file: str, modified: int, size: int) -> Inspection:
    try:
        content = json.loads(Path(json_file).read_bytes())
    except ValueError as error:
        raise UserError(f"{json_file} is not valid json ({error}): write it again") from error
    keys = set(content) if isinstance(content, dict) else set()
    missing = sorted({"images", "annotations", "categories"} - keys)
    if missing:
        raise UserError(
            f"{json_file} is not in COCO format: it has no {' and no '.join(missing)}; give the "
            "annotation file of an instance segmentation or detection data set"
        )
    images, annotations, categories = (
        _entries(json_file, key, content[key], needed)
        for key, needed in (
            ("images", {"id", "file_name", "width", "height"}),
            ("annotations", {"image_id", "category_id", "bbox"}),
            ("categories", {"id", "name"}),
        )
    )
    for key, entries in (("images", images), ("categories", categories)):
        _require_unique_ids(json_file, key, entries)
    if not categories:
        raise UserError(f"{json_file} has an empty list of categories: add those of its objects")
    return Inspection(
        classes=tuple(str(c["name"]) for c in sorted(categories, key=lambda c: c["id"])),
        files=tuple(image["file_name"] for image in images),
        problems=tuple(_problems(images, annotations, categories)),
    )


def _entries(json_file: str, key: str, entries: Any, needed: set[str]) -> list[Record]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{json_file} is not in COCO format: {key} must be a list of objects")
    for entry in entries:
        if not needed <= entry.keys():
            lacking = ", ".join(sorted(needed - entry.keys()))
            raise UserError(
                f"{json_file}: the entry of {key} with id {entry.get('id')} has no {lacking}: add "
                "it, or take the entry out"
            )
    return entries


def _require_unique_ids(json_file: str, key: str, entries: list[Record]) -> None:
    (identity, count), *_ = Counter(e["id"] for e in entries).most_common(1) or [(None, 0)]
    if count > 1:
        raise UserError(
            f"{json_file}: {count} {key} have the id {identity}: give each an id of its own"
        )


def _problems(
    images: list[Record], annotations: list[Record], categories: list[Record]
) -> Iterator[Problem]:
    """Each kind of problem that the annotations have."""
    image_of = {image["id"]: image for image in images}
    category_ids = {category["id"] for category in categories}
    malformed, flat = _boxes(annotations)
    found: tuple[tuple[Iterable[Record], str, str, bool], ...] = (
        (
            (a for a in annotations if a["image_id"] not in image_of),
            "belongs to an image that the file does not list",
            "correct its image_id, add the image, or take the annotation out",
            False,
        ),
        (
            (a for a in annotations if a["category_id"] not in category_ids),
            "has the unknown category_id {category_id}",
            "correct it, or add the category to the file's categories",
            False,
        ),
        (
            malformed,
            "has the bbox {bbox}, which is not four numbers",
            "write x, y, width and height in pixels",
            False,
        ),
        *_shape_problems(annotations, image_of),
        (
            flat,
            "has the bbox {bbox}, which has no area",
            "correct its width and height, or take the annotation out",
            True,
        ),
        (
            (a for a in annotations if _has_short_polygon(a.get("segmentation"))),
            "has a polygon of fewer than 3 points (or with half a point)",
            "correct or remove the polygon",
            True,
        ),
    )
    for wrong, what, remedy, can_be_left_out in found:
        cases = list(wrong)
        if cases:
            yield Problem(_first_of(cases, what, image_of), remedy, can_be_left_out)


def _shape_problems(
    annotations: list[Record], image_of: dict[Any, Record]
) -> Iterator[tuple[Iterable[Record], str, str, bool]]:
    yield (
        (a for a in annotations if _is_no_segmentation(a.get("segmentation"))),
        "has a segmentation that is neither a list of polygons nor an RLE",
        "write [[x1, y1, x2, y2, …], …], or an object with size and counts",
        False,
    )
    yield (
        (a for a in annotations if _differs_in_size(a, image_of)),
        "has an RLE of the size {segmentation[size]}, which is not its image's",
        "encode the mask at the image's [height, width]",
        False,
    )


def _first_of(cases: list[Record], what: str, image_of: dict[Any, Record]) -> str:
    """The first case, with its ids and the image's file, and how many there are besides."""
    first = cases[0]
    image = image_of.get(first["image_id"])
    file = f" ({image['file_name']})" if image else ""
    more = f", and {len(cases) - 1} more like it" if len(cases) > 1 else ""
    subject = f"annotation {first.get('id')} of image {first['image_id']}{file}"
    return f"{subject} {what.format_map(first)}{more}"


def _boxes(annotations: list[Record]) -> tuple[list[Record], list[Record]]:
    """The annotations whose box is not four numbers; those whose box has no area."""
    malformed: list[Record] = []
    sizes = _sizes(annotations)
    if sizes is None:  # at least one is no box: look at each
        malformed = [a for a in annotations if _sizes([a]) is None]
        annotations = [a for a in annotations if _sizes([a]) is not None]
        sizes = _sizes(annotations)
    if sizes is None:
        return malformed, []
    # So written, NaN counts as no area.
    flat = np.flatnonzero(~(sizes > 0).all(axis=1))
    return malformed, [annotations[index] for index in flat]


def _sizes(annotations: list[Record]) -> np.ndarray | None:
    """Width and height of each box, (N, 2); None if not all boxes are four numbers."""
    try:
        boxes = np.array([a["bbox"] for a in annotations])
    except ValueError:  # of different lengths
        return None
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "if":
        return None
    return boxes[:, 2:]


def _is_no_segmentation(segmentation: Any) -> bool:
    if type(segmentation) is list:
        return not set(map(type, segmentation)) <= {list}
    if isinstance(segmentation, dict):
        return not {"size", "counts"} <= segmentation.keys()
    return segmentation is not None


def _has_short_polygon(segmentation: Any) -> bool:
    if type(segmentation) is not list:
        return False
    for polygon in segmentation:
        if type(polygon) is list and (len(polygon) < SHORTEST_POLYGON or len(polygon) % 2):
            return True
    return False


def _differs_in_size(annotation: Record, image_of: dict[Any, Record]) -> bool:
    segmentation = annotation.get("segmentation")
    image = image_of.get(annotation["image_id"])
    if type(segmentation) is not dict or image is None or "size" not in segmentation:
        return False
    return list(segmentation["size"]) != [image["height"], image["width"]]


def require_valid(json_file: str, skip_invalid: bool = False) -> None:
    """Refuse a file whose annotations have a problem.

    Args:
        json_file: annotations in COCO format.
        skip_invalid: annotations that Detectron2 can leave out (a box of no area, a polygon of
            fewer than three points) only cause a warning, and are left out.

    Raises:
        UserError: with the first problem; see also :func:`inspect`.
    """
    for problem in inspect(json_file).problems:
        if not problem.can_be_left_out:
            raise UserError(f"{json_file}: {problem.what}: {problem.remedy}")
        if not skip_invalid:
            raise UserError(
                f"{json_file}: {problem.what}: {problem.remedy}, or add data.skip_invalid=True "
                "(YAML: DATASETS.COCO_FORMAT.SKIP_INVALID True) to leave such annotations out"
            )
        logger.warning(f"{json_file}: {problem.what}: left out")


def require_images(json_file: str, image_root: str) -> None:
    """Refuse a data set whose image files are not all there; folders are listed, files not opened.

    Raises:
        MissingFileError: with the first missing file, and how many there are.
    """
    files = inspect(json_file).files
    present: dict[str, set[str]] = {}
    missing = []
    for name in files:
        folder, base = os.path.split(os.path.join(image_root, name))
        if folder not in present:
            present[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if base not in present[folder]:
            missing.append(name)
    if missing:
        raise MissingFileError(
            f"{len(missing)} of the {len(files)} images of {json_file} are not in {image_root}, the"
            f" first is {missing[0]}: copy them there, correct the folder of the images "
            "(data.*_images), or take them out of the file"
        )
