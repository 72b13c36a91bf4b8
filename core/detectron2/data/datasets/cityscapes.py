"""Cityscapes with fine annotations, from the layout of its download.

    image_dir/<city>/<city>_<seq>_<frame>_leftImg8bit.png
    gt_dir/<city>/<city>_<seq>_<frame>_gtFine_{instanceIds.png,labelTrainIds.png,polygons.json}

Neither cityscapesscripts nor shapely is needed here: the polygons of the json file are painted one
over the other, as cityscapesscripts does for its instance images, and each instance is what stays
visible of it.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from PIL import Image, ImageDraw

from detectron2.structures import BoxMode
from detectron2.utils.comm import get_world_size  # noqa: F401
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger  # noqa: F401
from detectron2.utils.unavailable import INTERNALS, unavailable

from .builtin_meta import CITYSCAPES_CATEGORIES

__all__ = ["load_cityscapes_instances", "load_cityscapes_semantic"]

logger = logging.getLogger(__name__)

# The things that are evaluated; an instance's id is 1000 * label id + number.
_THINGS = {c["name"]: c["id"] for c in CITYSCAPES_CATEGORIES if c["isthing"]}
_CONTIGUOUS = {label_id: index for index, label_id in enumerate(_THINGS.values())}


def load_cityscapes_instances(
    image_dir: str, gt_dir: str, from_json: bool = True, to_polygons: bool = True
) -> list[dict[str, Any]]:
    """Load the instances of the eight thing classes.

    Args:
        image_dir: such as ``cityscapes/leftImg8bit/train``.
        gt_dir: such as ``cityscapes/gtFine/train``.
        from_json: read ``*_polygons.json``; else ``*_instanceIds.png``.
        to_polygons: give the outlines of the instances, along pixel edges; else compressed RLE, for
            the mask format "bitmask". Outlines do not show holes.

    Returns:
        Standard dictionaries; category ids are 0 to 7. A group of objects drawn as one is a crowd
        region.
    """
    suffix = "gtFine_polygons.json" if from_json else "gtFine_instanceIds.png"
    read = functools.partial(_read_instances, from_json=from_json, to_polygons=to_polygons)
    return _load_all(image_dir, gt_dir, suffix, read)


def load_cityscapes_semantic(image_dir: str, gt_dir: str) -> list[dict[str, Any]]:
    """Load images with label maps whose pixels are train ids, 0 to 18, and 255 for "ignore".

    The label maps, ``*_labelTrainIds.png``, are made by cityscapesscripts
    (``createTrainIdLabelImgs.py``).
    """
    return _load_all(image_dir, gt_dir, "gtFine_labelTrainIds.png", _read_semantic)


def _load_all(
    image_dir: str, gt_dir: str, suffix: str, read: Callable[[str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    pairs = list(_pairs(image_dir, gt_dir, suffix))
    if not pairs:
        raise FileNotFoundError(f"There are no *_leftImg8bit.png images in {image_dir}*/.")
    logger.info("Preprocessing cityscapes annotations of %d images ...", len(pairs))
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        records = list(pool.map(lambda pair: read(*pair), pairs))
    logger.info("Loaded %d images from %s", len(records), image_dir)
    return records


def _pairs(image_dir: str, gt_dir: str, suffix: str) -> Iterator[tuple[str, str]]:
    """Paths of the images, and of the annotation file that belongs to each."""
    if not PathManager.isdir(image_dir):
        raise FileNotFoundError(
            f"The folder '{image_dir}' does not exist; Cityscapes is expected below "
            "$DETECTRON2_DATASETS/cityscapes."
        )
    ending = "leftImg8bit.png"
    for city in sorted(PathManager.ls(image_dir)):
        for name in sorted(PathManager.ls(os.path.join(image_dir, city))):
            if not name.endswith(ending):
                raise ValueError(f"'{name}' in {image_dir}{city} is not a *_{ending} image.")
            annotation = os.path.join(gt_dir, city, name.removesuffix(ending) + suffix)
            if not PathManager.isfile(annotation):
                raise FileNotFoundError(
                    f"'{annotation}' does not exist; *_labelTrainIds.png and *_instanceIds.png "
                    "are made by cityscapesscripts (cityscapesscripts/preparation)."
                )
            yield os.path.join(image_dir, city, name), annotation


def _read_semantic(image_file: str, label_file: str) -> dict[str, Any]:
    with PathManager.open(label_file, "rb") as file, Image.open(file) as image:
        width, height = image.size
    return {
        "file_name": image_file,
        "sem_seg_file_name": label_file,
        "height": height,
        "width": width,
    }


def _read_instances(
    image_file: str, annotation_file: str, from_json: bool, to_polygons: bool
) -> dict[str, Any]:
    with PathManager.open(annotation_file, "rb") as file:
        instance_ids = _paint(json.load(file)) if from_json else np.array(Image.open(file))
    height, width = instance_ids.shape
    return {
        "file_name": image_file,
        "image_id": os.path.basename(image_file),
        "height": height,
        "width": width,
        "annotations": list(_instances(instance_ids, to_polygons)),
    }


def _paint(annotation: dict[str, Any]) -> np.ndarray:
    """The instance image of a polygon file: things as cityscapesscripts numbers them, others 0."""
    canvas = Image.new("I", (annotation["imgWidth"], annotation["imgHeight"]), 0)
    draw = ImageDraw.Draw(canvas)
    number = dict.fromkeys(_THINGS, 0)
    for obj in annotation["objects"]:
        label = obj["label"]
        if obj.get("deleted") or len(obj["polygon"]) < 2:
            continue
        value = _THINGS.get(label.removesuffix("group"), 0)
        if label in _THINGS:
            value = value * 1000 + number[label]
            number[label] += 1
        draw.polygon([tuple(point) for point in obj["polygon"]], fill=value)
    return np.array(canvas)


def _instances(instance_ids: np.ndarray, to_polygons: bool) -> Iterator[dict[str, Any]]:
    """Standard annotations of the things in an instance image, by rising id."""
    flat = instance_ids.reshape(-1)
    pixels = np.flatnonzero(flat >= min(_CONTIGUOUS))
    order = np.argsort(flat[pixels], kind="stable")
    pixels = pixels[order]
    ids, starts = np.unique(flat[pixels], return_index=True)
    for instance_id, members in zip(ids.tolist(), np.split(pixels, starts[1:]), strict=False):
        is_group = instance_id < 1000
        category = _CONTIGUOUS.get(instance_id if is_group else instance_id // 1000)
        rows, columns = np.divmod(members, instance_ids.shape[1])
        y0, x0, y1, x1 = rows.min(), columns.min(), rows.max(), columns.max()
        if category is None or y1 <= y0 or x1 <= x0:
            continue
        mask = np.zeros((y1 - y0 + 1, x1 - x0 + 1), dtype=np.uint8)
        mask[rows - y0, columns - x0] = 1
        if to_polygons:
            segmentation: Any = mask_to_polygons(mask, offset=(int(x0), int(y0)))
        else:
            full = np.zeros(instance_ids.shape, dtype=np.uint8, order="F")
            full[y0 : y1 + 1, x0 : x1 + 1] = mask
            segmentation = mask_util.encode(full)
        yield {
            "iscrowd": int(is_group),
            "category_id": category,
            "bbox": [int(x0), int(y0), int(x1) + 1, int(y1) + 1],
            "bbox_mode": BoxMode.XYXY_ABS,
            "segmentation": segmentation,
        }


def mask_to_polygons(mask: np.ndarray, offset: tuple[int, int] = (0, 0)) -> list[list[int]]:
    """The outer outlines of a mask, along the edges of its pixels.

    Args:
        mask: (H, W), nonzero inside.
        offset: (x, y) added to all points.

    Returns:
        One flat list of x and y for each 4-connected part; holes are filled.
    """
    padded = np.pad(np.asarray(mask) != 0, 1).astype(np.int8)
    # Each border edge has the inside on its right; y points down. A direction is (dx, dy).
    down_step, right_step = np.diff(padded, axis=0), np.diff(padded, axis=1)
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (dx, dy), shift, found in (
        ((1, 0), (-1, 0), down_step == 1),
        ((-1, 0), (0, 0), down_step == -1),
        ((0, -1), (0, 0), right_step == 1),
        ((0, 1), (0, -1), right_step == -1),
    ):
        for row, column in np.argwhere(found).tolist():
            start = (column + shift[0], row + shift[1])
            edges.setdefault(start, []).append((dx, dy))
    outlines = []
    while edges:
        points = _follow(edges, min(edges, key=lambda point: (point[1], point[0])))
        if _signed_area(points) > 0:  # holes run the other way round
            outlines.append((np.array(points) + offset).reshape(-1).tolist())
    return outlines


def _follow(
    edges: dict[tuple[int, int], list[tuple[int, int]]], start: tuple[int, int]
) -> list[tuple[int, int]]:
    """Walk along border edges from a point until it is met again; used edges are taken out."""
    points, point, last = [], start, (0, 0)
    while point in edges:
        ways = edges[point]
        # Where two corners touch, turning right (y points down) stays on the same part.
        step = (-last[1], last[0]) if (-last[1], last[0]) in ways else ways[0]
        ways.remove(step)
        if not ways:
            del edges[point]
        if step != last:
            points.append(point)
        point, last = (point[0] + step[0], point[1] + step[1]), step
    return points


def _signed_area(points: Iterable[tuple[int, int]]) -> int:
    x, y = np.array(list(points)).T
    return int(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


(_cityscapes_files_to_dict, _get_cityscapes_files, main) = unavailable(
    __name__, INTERNALS, "_cityscapes_files_to_dict _get_cityscapes_files main"
)
