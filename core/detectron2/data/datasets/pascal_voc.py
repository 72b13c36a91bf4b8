"""PASCAL VOC: boxes from its XML files, in the folders that VOC2007 and VOC2012 have."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from functools import partial
from typing import Any

from detectron2.data.catalog import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager

__all__ = ["load_voc_instances", "register_pascal_voc"]

_CLASSES = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person
pottedplant sheep sofa train tvmonitor
"""
CLASS_NAMES = tuple(_CLASSES.split())
"""The 20 classes, in alphabetical order."""


def read_image_set(path: str) -> list[str]:
    """The names of images in a file of ``ImageSets/Main``, one a line."""
    with PathManager.open(path) as file:
        return [line.strip() for line in file if line.strip()]


def read_annotation(path: str) -> ET.Element:
    """The root element of an XML file.

    Raises:
        ValueError: the file is not valid XML.
    """
    with PathManager.open(path) as file:
        try:
            return ET.parse(file).getroot()
        except ET.ParseError as error:
            raise ValueError(f"Annotation file '{path}' is not valid XML: {error}.") from error


def text_of(element: ET.Element, path: str, file_name: str) -> str:
    """The text of the element at ``path`` below ``element``.

    Raises:
        ValueError: there is none; ``file_name`` is for the message.
    """
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"Annotation file '{file_name}': a <{element.tag}> has no <{path}>.")
    return text.strip()


def corners_of(element: ET.Element, file_name: str) -> list[float]:
    """An object's xmin, ymin, xmax, ymax as they are written, counted from 1."""
    names = ("xmin", "ymin", "xmax", "ymax")
    return [float(text_of(element, f"bndbox/{name}", file_name)) for name in names]


def load_voc_instances(
    dirname: str, split: str, class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Load the boxes of a VOC data set, the ones marked difficult included.

    Args:
        dirname: folder with ``Annotations``, ``ImageSets/Main`` and ``JPEGImages``.
        split: a file of ``ImageSets/Main`` without its ending: "train", "val", "trainval", "test".
        class_names: the classes, in the order of the wanted ids.

    Returns:
        One dict per image with ``file_name``, ``image_id`` (its name), ``height``, ``width`` and
        ``annotations``: boxes as x0, y0, x1, y1 in continuous coordinates. VOC counts pixels from
        1 and includes the last one, so that 1 is taken from x0 and y0 only.

    Raises:
        ValueError: a file is not valid XML, lacks an element, or has an unknown class.
    """
    index = {name: position for position, name in enumerate(class_names)}
    names = read_image_set(os.path.join(dirname, "ImageSets", "Main", f"{split}.txt"))
    folder = PathManager.get_local_path(os.path.join(dirname, "Annotations/"))
    records = []
    for name in names:
        path = os.path.join(folder, f"{name}.xml")
        root = read_annotation(path)
        records.append(
            {
                "file_name": os.path.join(dirname, "JPEGImages", f"{name}.jpg"),
                "image_id": name,
                "height": int(text_of(root, "size/height", path)),
                "width": int(text_of(root, "size/width", path)),
                "annotations": [_annotation(x, index, path) for x in root.iterfind("object")],
            }
        )
    return records


def _annotation(element: ET.Element, index: dict[str, int], path: str) -> dict[str, Any]:
    name = text_of(element, "name", path)
    if name not in index:
        known = ", ".join(index)
        raise ValueError(
            f"Annotation file '{path}' has an object of the class '{name}', which is not among the "
            f"class_names: {known}."
        )
    x0, y0, x1, y1 = corners_of(element, path)
    box = [x0 - 1, y0 - 1, x1, y1]
    return {"category_id": index[name], "bbox": box, "bbox_mode": BoxMode.XYXY_ABS}


def register_pascal_voc(
    name: str, dirname: str, split: str, year: int | str, class_names: Sequence[str] = CLASS_NAMES
) -> None:
    """Register a VOC data set; see :func:`load_voc_instances`.

    Args:
        name: to register it under.
        dirname, split, class_names: what to load.
        year: 2007 or 2012, which says how it is evaluated.
    """
    load = partial(load_voc_instances, dirname, split, class_names)
    DatasetCatalog.register(name, load)
    entry = MetadataCatalog.get(name)
    entry.set(thing_classes=list(class_names), dirname=dirname, year=year, split=split)
