"""Cityscapes' panoptic annotations, as cityscapesscripts makes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from detectron2.data.catalog import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager
from detectron2.utils.unavailable import INTERNALS, unavailable

from .builtin_meta import CITYSCAPES_CATEGORIES, _panoptic_meta
from .coco import _read_json
from .coco_panoptic import IGNORE_LABEL, LABEL_DIVISOR, check_files, with_contiguous_class

_SUFFIX = "_leftImg8bit.png"


def _image_files(image_dir: str) -> dict[str, str]:
    """The images of all cities by their ids, such as ``aachen_000000_000019``."""
    files = {}
    for city in PathManager.ls(image_dir):
        for name in PathManager.ls(os.path.join(image_dir, city)):
            if name.endswith(_SUFFIX):
                files[name.removesuffix(_SUFFIX)] = os.path.join(image_dir, city, name)
    return files


def load_cityscapes_panoptic(
    image_dir: str, gt_dir: str, gt_json: str, meta: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Load panoptic annotations.

    Args:
        image_dir: the folder of the cities' folders, such as ``leftImg8bit/train``.
        gt_dir: the folder of the png files, such as ``gtFine/cityscapes_panoptic_train``.
        gt_json: the json file of the same name.
        meta: with ``thing_dataset_id_to_contiguous_id`` and the same of stuff.

    Returns:
        One dict per image with ``file_name``, ``image_id``, ``sem_seg_file_name``,
        ``pan_seg_file_name`` and ``segments_info``, whose ``category_id`` are contiguous.

    Raises:
        FileNotFoundError: an image is missing, or a label file that cityscapesscripts makes.
    """
    if not PathManager.isfile(gt_json):
        raise FileNotFoundError(
            f"'{gt_json}' does not exist: cityscapesscripts makes it, with `csCreatePanopticImgs`."
        )
    images = _image_files(image_dir)
    records = []
    for annotation in _read_json(gt_json, ("annotations",))["annotations"]:
        image_id = annotation["image_id"]
        if image_id not in images:
            raise FileNotFoundError(f"'{image_dir}' has no image of '{image_id}' ({gt_json}).")
        labels = images[image_id].replace("leftImg8bit", "gtFine").removesuffix(".png")
        segments = annotation["segments_info"]
        records.append(
            {
                "file_name": images[image_id],
                "image_id": image_id,
                "sem_seg_file_name": f"{labels}_labelTrainIds.png",
                "pan_seg_file_name": os.path.join(gt_dir, annotation["file_name"]),
                "segments_info": [with_contiguous_class(x, meta, gt_json) for x in segments],
            }
        )
    if not records:
        raise ValueError(f"{gt_json} has no annotations.")
    check_files(records[0])
    return records


def register_all_cityscapes_panoptic(root: str) -> None:
    """Register the fine panoptic annotations of Cityscapes, expected in ``root/cityscapes``."""
    meta = _panoptic_meta(CITYSCAPES_CATEGORIES)
    base = os.path.join(root, "cityscapes")
    for split in ("train", "val"):
        name = f"cityscapes_fine_panoptic_{split}"
        images = os.path.join(base, "leftImg8bit", split)
        labels = os.path.join(base, "gtFine", f"cityscapes_panoptic_{split}")
        load = partial(load_cityscapes_panoptic, images, labels, f"{labels}.json", meta)
        DatasetCatalog.register(name, load)
        MetadataCatalog.get(name).set(
            image_root=images,
            panoptic_root=labels,
            panoptic_json=f"{labels}.json",
            gt_dir=os.path.join(base, "gtFine", split),
            evaluator_type="cityscapes_panoptic_seg",
            ignore_label=IGNORE_LABEL,
            label_divisor=LABEL_DIVISOR,
            **meta,
        )


_RAW_CITYSCAPES_PANOPTIC_SPLITS = {
    f"cityscapes_fine_panoptic_{split}": (
        f"cityscapes/leftImg8bit/{split}",
        f"cityscapes/gtFine/cityscapes_panoptic_{split}",
        f"cityscapes/gtFine/cityscapes_panoptic_{split}.json",
    )
    for split in ("train", "val")
}

get_cityscapes_panoptic_files = unavailable(__name__, INTERNALS, "get_cityscapes_panoptic_files")
