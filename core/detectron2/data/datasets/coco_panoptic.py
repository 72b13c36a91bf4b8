"""COCO's panoptic format: a png of segment ids per image, and their classes in a json file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from detectron2.data.catalog import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from .coco import _read_json, load_coco_json, load_sem_seg

__all__ = ["register_coco_panoptic", "register_coco_panoptic_separated"]

IGNORE_LABEL, LABEL_DIVISOR = 255, 1000


def with_contiguous_class(
    segment: Mapping[str, Any], meta: Mapping[str, Any], json_file: str
) -> dict[str, Any]:
    """A segment with the contiguous class in ``category_id``, and ``isthing``.

    Raises:
        ValueError: the category is not in ``meta``.
    """
    category = segment["category_id"]
    for heading, is_thing in (("thing", True), ("stuff", False)):
        contiguous = meta[f"{heading}_dataset_id_to_contiguous_id"]
        if category in contiguous:
            return {**segment, "category_id": contiguous[category], "isthing": is_thing}
    raise ValueError(f"{json_file}: a segment has the unknown category {category}.")


def check_files(record: Mapping[str, Any]) -> None:
    """Stop where a file of the record does not exist: the folders are likely to be wrong."""
    for name in ("file_name", "pan_seg_file_name", "sem_seg_file_name"):
        if name in record and not PathManager.isfile(record[name]):
            raise FileNotFoundError(
                f"'{record[name]}' does not exist: check the folders of the data set, and that its "
                "label files were made."
            )


def load_coco_panoptic_json(
    json_file: str, image_dir: str, gt_dir: str, meta: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Load panoptic annotations.

    Args:
        json_file: the json file.
        image_dir: the folder of the images, jpg files.
        gt_dir: the folder of the png files.
        meta: with ``thing_dataset_id_to_contiguous_id`` and the same of stuff.

    Returns:
        One dict per image with ``file_name``, ``image_id``, ``pan_seg_file_name`` and
        ``segments_info``, whose ``category_id`` are contiguous.

    Raises:
        FileNotFoundError: the first image or png does not exist.
        ValueError: the file has no annotations, or an unknown category.
    """
    annotations = _read_json(json_file, ("annotations",))["annotations"]
    if not annotations:
        raise ValueError(f"{json_file} has no annotations.")
    records = []
    for annotation in annotations:
        stem = os.path.splitext(annotation["file_name"])[0]
        segments = annotation["segments_info"]
        records.append(
            {
                "file_name": os.path.join(image_dir, f"{stem}.jpg"),
                "image_id": int(annotation["image_id"]),
                "pan_seg_file_name": os.path.join(gt_dir, annotation["file_name"]),
                "segments_info": [with_contiguous_class(x, meta, json_file) for x in segments],
            }
        )
    check_files(records[0])
    return records


def register_coco_panoptic(
    name: str,
    metadata: dict[str, Any],
    image_root: str,
    panoptic_root: str,
    panoptic_json: str,
    instances_json: str | None = None,
) -> None:
    """Register a panoptic data set with one numbering for things and stuff.

    Args:
        name: such as ``coco_2017_train_panoptic``.
        metadata: more entries for the metadata, the two ``..._dataset_id_to_contiguous_id`` among
            them.
        image_root, panoptic_root, panoptic_json: see :func:`load_coco_panoptic_json`.
        instances_json: the instance annotations of the same images, for evaluation.
    """
    load = partial(load_coco_panoptic_json, panoptic_json, image_root, panoptic_root, metadata)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(
        image_root=image_root,
        panoptic_root=panoptic_root,
        panoptic_json=panoptic_json,
        json_file=instances_json,
        evaluator_type="coco_panoptic_seg",
        ignore_label=IGNORE_LABEL,
        label_divisor=LABEL_DIVISOR,
        **metadata,
    )


def register_coco_panoptic_separated(
    name: str,
    metadata: dict[str, Any],
    image_root: str,
    panoptic_root: str,
    panoptic_json: str,
    sem_seg_root: str,
    instances_json: str,
) -> None:
    """Register a panoptic data set as instances and label maps, as Panoptic FPN trains on it.

    It is called ``name + "_separated"``; its label maps alone are ``name + "_stuffonly"``. In the
    label maps 0 is all things, and stuff has 1, 2, ...

    Args:
        name: such as ``coco_2017_train_panoptic``.
        metadata: more entries for the metadata.
        image_root, panoptic_root, panoptic_json: see :func:`load_coco_panoptic_json`.
        sem_seg_root: the folder of the label maps.
        instances_json: the instance annotations.
    """
    shared = {
        "image_root": image_root,
        "sem_seg_root": sem_seg_root,
        "ignore_label": IGNORE_LABEL,
        **metadata,
    }
    separated, stuff_only = f"{name}_separated", f"{name}_stuffonly"
    load = partial(_load_separated, instances_json, image_root, sem_seg_root, separated)
    DatasetCatalog.register(separated, load)
    MetadataCatalog.get(separated).set(
        panoptic_root=panoptic_root,
        panoptic_json=panoptic_json,
        json_file=instances_json,
        evaluator_type="coco_panoptic_seg",
        **shared,
    )
    DatasetCatalog.register(stuff_only, partial(load_sem_seg, sem_seg_root, image_root))
    MetadataCatalog.get(stuff_only).set(evaluator_type="sem_seg", **shared)


def _load_separated(
    instances_json: str, image_root: str, sem_seg_root: str, name: str
) -> list[dict[str, Any]]:
    instances = load_coco_json(instances_json, image_root, name)
    return merge_to_panoptic(instances, load_sem_seg(sem_seg_root, image_root))


def merge_to_panoptic(
    detection_dicts: Sequence[dict[str, Any]], sem_seg_dicts: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The dicts of ``detection_dicts``, each joined with the one of the same ``file_name``.

    Raises:
        ValueError: an image has no label map.
    """
    by_file = {record["file_name"]: record for record in sem_seg_dicts}
    missing = [x["file_name"] for x in detection_dicts if x["file_name"] not in by_file]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(detection_dicts)} images have no label map, such as "
            f"'{missing[0]}'."
        )
    return [{**record, **by_file[record["file_name"]]} for record in detection_dicts]
