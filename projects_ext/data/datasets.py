"""Data sets in COCO format, named by their paths instead of by an entry in a catalog."""

import json
from functools import cache
from pathlib import Path

from detectron2.data import DatasetCatalog
from detectron2.data.datasets import register_coco_instances


def register_coco_format(json_file: str, image_root: str) -> str:
    """Register the data set and return its name in the catalogs; doing so twice is harmless.

    Args:
        json_file: annotations in COCO format.
        image_root: the folder that the json's ``file_name`` entries are relative to.

    Raises:
        FileNotFoundError: one of the two is missing.
        ValueError: a path is empty, or the json is not in COCO format.
    """
    if not image_root:
        raise ValueError(
            "the folder of the images is not given: add data.train_images=… and data.val_images=… "
            "to the command line"
        )
    if not Path(image_root).is_dir():
        raise FileNotFoundError(
            f"no folder of images at {image_root}: correct data.train_images or data.val_images"
        )
    count_categories(json_file)
    name = f"{json_file} ({image_root})"
    if name not in DatasetCatalog.list():
        register_coco_instances(name, {}, json_file, image_root)
    return name


@cache
def count_categories(json_file: str) -> int:
    """The number of categories that a COCO-format file names: the model's ``num_classes``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the path is empty, or the content is not in COCO format.
    """
    if not json_file:
        raise ValueError(
            "the annotation file is not given: add data.train_json=… and data.val_json=… to the "
            "command line"
        )
    path = Path(json_file)
    if not path.is_file():
        own = "shapes" in path.parts
        remedy = "run `python datasets/prepare_shapes.py` first" if own else "correct data.*_json"
        raise FileNotFoundError(f"no annotation file at {json_file}: {remedy}")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{json_file} is not valid json ({error}): write it again") from error
    keys = set(content) if isinstance(content, dict) else set()
    missing = sorted({"images", "annotations", "categories"} - keys)
    if missing:
        raise ValueError(
            f"{json_file} is not in COCO format: it has no {' and no '.join(missing)}; give the "
            "annotation file of an instance segmentation or detection data set"
        )
    return len(content["categories"])
