"""labelme: one json file per image, with polygons, boxes, circles and masks.

Shapes of one label and one ``group_id`` are the parts of one object. Masks, which may have holes,
become run lengths; a box is an object without a mask, as its four corners are no outline.
"""

import base64
import binascii
import io
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as masks

from projects_ext.data.labels import image_size
from projects_ext.errors import UserError

from .files import ImageFinder, by_split
from .part import Objects, Part, Reader, Record, Source, box_around, sorted_names

NAME = "labelme json"
_CIRCLE_ERROR = 0.05
"""Pixels by which the polygon of a circle may lie within it."""


def looks_like(raw: bytes) -> bool:
    """Whether the text of a json file is one of labelme's."""
    return b'"shapes"' in raw and b'"annotations"' not in raw


def read(path: Path, files: Sequence[Path], options: Reader) -> Source:
    """Read a folder of labelme's files.

    Args:
        path: the folder, or a single file.
        files: the annotation files in it.
        options: the folder of the images, if it was given.

    Raises:
        UserError: a file is damaged, or its image is missing or of another size.
    """
    folder = path if path.is_dir() else path.parent
    finder = ImageFinder(folder, options.images)
    splits = by_split(files, folder)
    read_parts = {split: _read_files(some, finder) for split, some in splits.items()}
    classes = list(options.classes) or sorted_names(part for part, _ in read_parts.values())
    parts = {
        split: _part(f"{path} ({split})" if len(splits) > 1 else str(path), *found, classes)
        for split, found in read_parts.items()
    }
    return Source(str(path), NAME, parts["train"], parts.get("val"))


def _part(name: str, objects: Objects, unusable: list[str], classes: list[str]) -> Part:
    unknown = sorted(set(objects.names) - set(classes))
    if unknown:
        raise UserError(
            f"{name} has the label {unknown[0]}, which data.classes does not list: add it there, "
            "or correct the label"
        )
    return objects.part(name, classes, unusable=tuple(unusable))


def _read_files(files: Sequence[Path], finder: ImageFinder) -> tuple[Objects, list[str]]:
    """Objects of files, and what of them has no area."""
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(_content, files))
    found = [
        finder.find(file, content.get("imagePath") or "", "imagePath")
        for file, content in zip(files, contents, strict=True)
    ]
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(image_size, found))
    objects, unusable = Objects(), list[str]()
    for file, content, image, size in zip(files, contents, found, sizes, strict=True):
        stated = content.get("imageHeight"), content.get("imageWidth")
        if None not in stated and stated != size:
            raise UserError(
                f"{file} is for an image of {stated[1]} x {stated[0]} (width x height), but "
                f"{image} is {size[1]} x {size[0]}: give the image that was annotated"
            )
        objects.add_image(image, size)
        unusable += _add_shapes(objects, file, content["shapes"], size)
    return objects, unusable


def _content(file: Path) -> Record:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid json ({error}): save it again") from error
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise UserError(f"{file} is not labelme's: it has no list of shapes; take it out")
    path = content.get("imagePath")
    if path is not None and not isinstance(path, str):
        raise UserError(f"{file}: its imagePath is {path!r}: write the name of the image")
    content.pop("imageData", None)  # the image itself, which is read from its file
    return content


def _add_shapes(
    objects: Objects, file: Path, shapes: Sequence[Record], size: tuple[int, int]
) -> list[str]:
    """Add the shapes of an image; what has no area is returned, a sentence each."""
    groups: dict[Any, list[tuple[int, Record]]] = {}
    unusable = []
    for place, shape in enumerate(shapes):
        label = shape.get("label")
        if not isinstance(label, str) or not label.strip():
            raise UserError(f"{file}: shape {place} has the label {label!r}: give it a name")
        kind = shape.get("shape_type") or "polygon"
        if kind in ("line", "linestrip", "point", "points"):
            unusable.append(f"{file}: shape {place} ({label}) is a {kind}, which has no area")
            continue
        group = shape.get("group_id")
        key = (label, group) if isinstance(group, int | str) else (label, None, place)
        groups.setdefault(key, []).append((place, shape))
    for (label, *_), members in groups.items():
        _add_object(objects, file, label, members, size)
    return unusable


def _add_object(
    objects: Objects,
    file: Path,
    label: str,
    members: Sequence[tuple[int, Record]],
    size: tuple[int, int],
) -> None:
    """One object of one or more shapes."""
    polygons: list[list[float]] = []
    pixels: list[np.ndarray] = []
    boxes: list[list[float]] = []
    for place, shape in members:
        where, kind = f"{file}: shape {place} ({label})", shape.get("shape_type") or "polygon"
        points = _points(shape, where)
        if kind == "polygon":
            polygons.append([x for point in points for x in point])
        elif kind == "circle":
            polygons.append(_circle(points, where))
        elif kind == "mask":
            pixels.append(_pixels(shape, points, size, where))
        elif kind == "rectangle":
            boxes.append([x for point in points for x in point])
        else:
            raise UserError(
                f"{where} is of the unknown type {kind!r}: draw it as a polygon, or take it out"
            )
    if pixels and not boxes:
        runs = _run_lengths(polygons, pixels, size)
        objects.add(label, masks.toBbox(runs).tolist(), runs)
    elif boxes:  # of a box nobody knows the outline
        extent = [_box_of(mask) for mask in pixels]
        objects.add(label, box_around([*polygons, *boxes, *extent]))
    else:
        objects.add(label, box_around(polygons), polygons)


def _points(shape: Record, where: str) -> list[list[float]]:
    points = shape.get("points")
    good = isinstance(points, list) and all(
        isinstance(point, list)
        and len(point) == 2
        and all(type(x) in (int, float) and math.isfinite(x) for x in point)
        for point in points
    )
    if not good or not points:
        raise UserError(f"{where} has no points of two numbers each: draw it again")
    kind = shape.get("shape_type") or "polygon"
    if kind in ("rectangle", "circle", "mask") and len(points) < 2:
        raise UserError(f"{where} is a {kind} of {len(points)} points: draw it again")
    return points


def _circle(points: Sequence[Sequence[float]], where: str) -> list[float]:
    (x, y), (edge_x, edge_y) = points[:2]
    radius = math.hypot(edge_x - x, edge_y - y)
    if radius == 0:
        raise UserError(f"{where} is a circle without area: draw it again, or take it out")
    step = math.acos(max(1 - _CIRCLE_ERROR / radius, 0))
    count = min(max(12, math.ceil(math.pi / step)), 1000)
    angles = [2 * math.pi * index / count for index in range(count)]
    return [c for a in angles for c in (x + radius * math.cos(a), y + radius * math.sin(a))]


def _pixels(
    shape: Record, points: Sequence[Sequence[float]], size: tuple[int, int], where: str
) -> np.ndarray:
    """A mask (H, W) of the whole image."""
    text = shape.get("mask")
    try:
        raw = base64.b64decode(text if isinstance(text, str) else "", validate=True)
        with Image.open(io.BytesIO(raw)) as image:
            mask = np.array(image.convert("L")) > 0
    except (binascii.Error, OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{where} has a mask that is no PNG: draw it again") from error
    left, top = (round(min(point[axis] for point in points[:2])) for axis in (0, 1))
    whole = np.zeros(size, dtype=np.uint8)
    if left < 0 or top < 0 or top + mask.shape[0] > size[0] or left + mask.shape[1] > size[1]:
        raise UserError(f"{where} has a mask that ends outside its image: draw it again")
    whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return whole


def _run_lengths(
    polygons: Sequence[Sequence[float]], pixels: Sequence[np.ndarray], size: tuple[int, int]
) -> Record:
    """All of them as one mask, as json writes it."""
    parts = masks.frPyObjects([list(p) for p in polygons if len(p) >= 6], *size) if polygons else []
    parts = [*parts, *(masks.encode(np.asfortranarray(mask)) for mask in pixels)]
    runs = masks.merge(parts)
    return {"size": [int(side) for side in runs["size"]], "counts": runs["counts"].decode()}


def _box_of(mask: np.ndarray) -> list[float]:
    rows, columns = mask.nonzero()
    if not len(rows):
        return []
    corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return [float(corner) for corner in corners]
