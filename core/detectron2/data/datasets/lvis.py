"""LVIS: COCO's json format with federated annotations (Gupta et al., arXiv:1908.03195)."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from detectron2.data.catalog import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.utils.unavailable import INTERNALS, unavailable

from .builtin_meta import _get_coco_instances_meta
from .coco import _read_json
from .lvis_v0_5_categories import LVIS_CATEGORIES as LVIS_V0_5_CATEGORIES  # noqa: F401
from .lvis_v1_categories import LVIS_CATEGORIES as LVIS_V1_CATEGORIES  # noqa: F401
from .lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT as LVIS_V1_CATEGORY_IMAGE_COUNT  # noqa: F401

__all__ = ["get_lvis_instances_meta", "load_lvis_json", "register_lvis_instances"]

logger = logging.getLogger(__name__)


def register_lvis_instances(
    name: str, metadata: dict[str, Any], json_file: str, image_root: str
) -> None:
    """Register a data set in LVIS's format. The file is read when it is first used.

    Args:
        name: the name to register, such as ``lvis_v1_train``.
        metadata: more entries for the metadata; may be empty.
        json_file: the path of the json file.
        image_root: the folder that holds the folders of images ("train2017", ...).
    """
    DatasetCatalog.register(name, partial(load_lvis_json, json_file, image_root, name))
    entry = MetadataCatalog.get(name)
    entry.set(json_file=json_file, image_root=image_root, evaluator_type="lvis", **metadata)


def load_lvis_json(
    json_file: str,
    image_root: str,
    dataset_name: str | None = None,
    extra_annotation_keys: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Load a file of LVIS annotations as standard dictionaries, sorted by image id.

    Args:
        json_file: the path of the json file.
        image_root: the folder that holds the folders of images; which of them an image is in is
            read off its ``coco_url``, or else its ``file_name`` is taken.
        dataset_name: the name of the data set. With a name, ``thing_classes`` are entered in its
            metadata: LVIS v1's or, of other data, the names in the file.
        extra_annotation_keys: more keys to copy from each annotation.

    Returns:
        One dict per image: ``file_name``, ``height``, ``width``, ``image_id``,
        ``not_exhaustive_category_ids``, ``neg_category_ids`` and ``annotations``, each with
        ``bbox`` (XYWH, absolute), ``bbox_mode``, ``category_id`` (from 0) and ``segmentation``
        (polygons).

    Raises:
        ValueError: the file is not in this format.
        AssertionError: annotation ids repeat, or a polygon has fewer than three points.
    """
    content = _read_json(json_file, ("images", "categories"))
    contiguous = _enter_categories(content["categories"], dataset_name)
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    annotations = content.get("annotations", [])
    for annotation in annotations:
        by_image[annotation["image_id"]].append(annotation)
    ids = {annotation["id"] for annotation in annotations}
    assert len(ids) == len(annotations), f"Annotation ids in '{json_file}' are not unique."
    records = []
    for image in sorted(content["images"], key=lambda x: x["id"]):
        record = {"file_name": _image_path(image, image_root), "image_id": image["id"]}
        record |= {name: image[name] for name in ("height", "width")}
        for name in ("not_exhaustive_category_ids", "neg_category_ids"):
            record[name] = image.get(name, [])
        record["annotations"] = [
            _object(x, contiguous, json_file, extra_annotation_keys or ())
            for x in by_image[image["id"]]
        ]
        records.append(record)
    logger.info("Loaded %d images in the LVIS format from %s", len(records), json_file)
    return records


def _enter_categories(
    categories: list[dict[str, Any]], dataset_name: str | None
) -> dict[int, int] | None:
    """Enter the class names in the metadata; returns COCO's map of ids where those are COCO's."""
    if dataset_name is None:
        return None
    meta = get_lvis_instances_meta(dataset_name)
    if not meta:
        ordered = sorted(categories, key=lambda x: x["id"])
        meta = {"thing_classes": [(x.get("synonyms") or [x["name"]])[0] for x in ordered]}
    MetadataCatalog.get(dataset_name).set(**meta)
    return meta.get("thing_dataset_id_to_contiguous_id")


def _image_path(image: dict[str, Any], image_root: str) -> str:
    if "coco_url" not in image:
        return os.path.join(image_root, image["file_name"])
    return os.path.join(image_root, *image["coco_url"].split("/")[-2:])


def _object(
    annotation: dict[str, Any],
    contiguous: dict[int, int] | None,
    json_file: str,
    extra_keys: Sequence[str],
) -> dict[str, Any]:
    polygons = annotation["segmentation"]
    shortest = min((len(x) * (1 - len(x) % 2) for x in polygons), default=0)
    assert shortest >= 6, (
        f"{json_file}: annotation {annotation['id']} has no polygons, or one of fewer than three "
        "points."
    )
    category = annotation["category_id"]
    return {
        "bbox": annotation["bbox"],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": category - 1 if contiguous is None else contiguous[category],
        "segmentation": polygons,
        **{key: annotation[key] for key in extra_keys},
    }


def get_lvis_instances_meta(dataset_name: str) -> dict[str, Any]:
    """Metadata of the data sets of this name.

    Args:
        dataset_name: such as ``lvis_v1`` or ``lvis_v1_train``.

    Returns:
        For LVIS v1 ``thing_classes`` and ``class_image_count`` (of its training images); for the
        cocofied sets what COCO has. Nothing for other data, such as v0.5: the classes are those of
        the file, known when it is loaded.
    """
    if "cocofied" in dataset_name:
        return _get_coco_instances_meta()
    if "v1" not in dataset_name:
        return {}
    table = _lvis_v1()
    counts = [{"id": i, "image_count": count} for i, (_, count) in enumerate(table, start=1)]
    return {"thing_classes": [name for name, _ in table], "class_image_count": counts}


@cache
def _lvis_v1() -> list[tuple[str, int]]:
    """Name and number of training images of each category of LVIS v1."""
    lines = Path(__file__).with_name("lvis_v1.txt").read_text("utf-8").splitlines()
    text = " ".join(line for line in lines if not line.startswith("#"))
    return [(name, int(count)) for name, count in re.findall(r"(\S[^=]*)=(\d+)", text)]


main = unavailable(__name__, INTERNALS, "main")

(_get_lvis_instances_meta_v0_5, _get_lvis_instances_meta_v1) = unavailable(
    __name__, INTERNALS, "_get_lvis_instances_meta_v0_5 _get_lvis_instances_meta_v1"
)
