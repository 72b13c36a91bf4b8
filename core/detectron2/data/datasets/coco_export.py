"""Registered data sets of any origin as COCO json, so that COCO's evaluation can read them."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from iopath.common.file_io import file_lock

from detectron2.data.catalog import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode, PolygonMasks
from detectron2.utils.file_io import PathManager

__all__ = ["convert_to_coco_dict", "convert_to_coco_json"]

logger = logging.getLogger(__name__)


def convert_to_coco_dict(dataset_name: str) -> dict[str, Any]:
    """A registered data set of instances in COCO's json format, as a dictionary.

    Category ids are those of the original data set where its metadata has
    ``thing_dataset_id_to_contiguous_id``. ``annotations`` is missing if there are none.
    """
    records = DatasetCatalog.get(dataset_name)
    # Loading can enter class names and ids in the metadata, so that is read second.
    metadata = MetadataCatalog.get(dataset_name)
    to_original = {
        contiguous: original
        for original, contiguous in metadata.get("thing_dataset_id_to_contiguous_id", {}).items()
    }
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, record in enumerate(records):
        image_id = record.get("image_id", index)
        size = {"width": int(record["width"]), "height": int(record["height"])}
        images.append({"id": image_id, **size, "file_name": str(record["file_name"])})
        for obj in record.get("annotations", []):
            category = to_original.get(obj["category_id"], obj["category_id"])
            entry = {"id": len(annotations) + 1, "image_id": image_id, **_coco_geometry(obj)}
            entry["iscrowd"] = int(obj.get("iscrowd", 0))
            entry["category_id"] = int(category)
            annotations.append(entry)
    classes = metadata.thing_classes
    categories = [{"id": to_original.get(i, i), "name": name} for i, name in enumerate(classes)]
    description = "Written by Detectron2 for the evaluation of a data set in another format."
    info = {"date_created": str(datetime.datetime.now()), "description": description}
    content = {"info": info, "images": images, "categories": categories, "licenses": None}
    if annotations:
        content["annotations"] = annotations
    logger.info("%s: %d images, %d annotations", dataset_name, len(images), len(annotations))
    return content


def _coco_geometry(obj: dict[str, Any]) -> dict[str, Any]:
    """Box (XYWH), area and segmentation of a standard annotation, in COCO's way."""
    box = np.asarray(obj["bbox"], dtype=np.float64).reshape(1, -1)
    if box.shape[1] != 4:
        raise ValueError(f"Boxes of four numbers can be converted to COCO's format, not {box}.")
    corners = BoxMode.convert(box, obj["bbox_mode"], BoxMode.XYXY_ABS)
    xywh = BoxMode.convert(box, obj["bbox_mode"], BoxMode.XYWH_ABS)
    geometry: dict[str, Any] = {"bbox": [round(float(value), 3) for value in xywh[0]]}
    segm = obj.get("segmentation")
    if segm is None:
        return {**geometry, "area": float(np.prod(corners[0, 2:] - corners[0, :2]))}
    if isinstance(segm, dict):
        counts = segm["counts"]
        area = mask_util.area(segm)
        segm = {**segm, "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}
    elif isinstance(segm, list):
        polygons = [np.asarray(polygon, dtype=np.float64).reshape(-1) for polygon in segm]
        area = PolygonMasks([polygons]).area()[0]
        segm = [polygon.tolist() for polygon in polygons]
    else:
        raise TypeError(
            f"A segmentation has to be a list of polygons or an RLE dictionary, not a {type(segm)}."
        )
    return {**geometry, "area": float(area), "segmentation": segm}


def convert_to_coco_json(dataset_name: str, output_file: str, allow_cached: bool = True) -> None:
    """Write a registered data set of instances as a COCO json file.

    The file appears in one piece: nobody ever reads a half-written one, and of several processes
    only one writes.

    Args:
        dataset_name: a registered name.
        output_file: the path to write to.
        allow_cached: whether a file that is already there may be used as it is.
    """
    PathManager.mkdirs(os.path.dirname(output_file) or ".")
    with file_lock(output_file):
        if allow_cached and PathManager.exists(output_file):
            logger.warning(
                "Using the COCO format file %s from an earlier run; if the data set has changed, "
                "delete it first.",
                output_file,
            )
            return
        part = f"{output_file}.{os.getpid()}.tmp"
        try:
            with PathManager.open(part, "w") as file:
                json.dump(convert_to_coco_dict(dataset_name), file)
            os.replace(part, output_file)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(part)
