"""PASCAL VOC 2012 with the labels of the Semantic Boundaries Dataset: 10582 + 1449 images.

``datasets/prepare_voc12aug.py`` makes what is read here from the official downloads.
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.errors import MissingFileError

from .labels import IGNORE_LABEL
from .palette import class_colours

# fmt: off
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)
# fmt: on
FOLDER = "VOC2012"
IMAGES = "JPEGImages"
LABELS = "annotations_detectron2"
PARTS = {"train": "trainaug", "val": "val"}
"""Our name of a part, and that of its folder."""


def load_voc12aug(image_root: str, label_root: str) -> list[dict[str, Any]]:
    """A record for each label map, with the image of the same name.

    Raises:
        MissingFileError: there are no label maps.
    """
    labels = sorted(Path(label_root).glob("*.png"))
    if not labels:
        raise MissingFileError(
            f"no label maps in {label_root}: run `python datasets/prepare_voc12aug.py`, and set "
            "the environment variable DETECTRON2_DATASETS to the folder of the data sets"
        )
    return [
        {"file_name": os.path.join(image_root, f"{path.stem}.jpg"), "sem_seg_file_name": str(path)}
        for path in labels
    ]


def register_voc12aug(root: str) -> None:
    """Register ``voc12aug_sem_seg_{train,val}`` below a folder of data sets; no file is read."""
    image_root = os.path.join(root, FOLDER, IMAGES)
    for part, folder in PARTS.items():
        name = f"voc12aug_sem_seg_{part}"
        label_root = os.path.join(root, FOLDER, LABELS, folder)
        DatasetCatalog.register(name, partial(load_voc12aug, image_root, label_root))
        MetadataCatalog.get(name).set(
            stuff_classes=list(VOC_CLASSES),
            stuff_colors=class_colours(len(VOC_CLASSES)),
            ignore_label=IGNORE_LABEL,
            evaluator_type="sem_seg",
            image_root=image_root,
            sem_seg_root=label_root,
        )


register_voc12aug(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")))
