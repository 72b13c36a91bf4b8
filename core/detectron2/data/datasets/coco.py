"""Data sets in COCO's json format, in and out, and folders of semantic label maps."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pycocotools.mask as mask_util

from detectron2.data.catalog import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.structures.boxes import Boxes  # noqa: F401
from detectron2.structures.masks import PolygonMasks  # noqa: F401
from detectron2.structures.rotated_boxes import RotatedBoxes  # noqa: F401
from detectron2.utils.file_io import PathManager
from detectron2.utils.unavailable import INTERNALS, unavailable

from .coco_export import convert_to_coco_dict, convert_to_coco_json

__all__ = [
    "convert_to_coco_dict",
    "convert_to_coco_json",
    "load_coco_json",
    "load_sem_seg",
    "register_coco_instances",
]

logger = logging.getLogger(__name__)


def load_coco_json(
    json_file: str,
    image_root: str,
    dataset_name: str | None = None,
    extra_annotation_keys: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Load a file of COCO instance annotations as standard dictionaries, sorted by image id.

    The parts that detection does not need (``info``, ``licenses``, an image's ``license``, ...) may
    be missing. Images without annotations are kept; polygons of fewer than three points are
    dropped, and annotations that are left without any, too.

    Args:
        json_file: the path of the json file.
        image_root: the folder that the images' ``file_name`` is relative to.
        dataset_name: the name of the data set, such as ``coco_2017_train``. With a name, category
            ids become 0, 1, 2, ... in the order of the file's ids, and ``thing_classes`` and
            ``thing_dataset_id_to_contiguous_id`` are entered in its metadata. Without a name, ids
            stay as they are.
        extra_annotation_keys: more keys to copy from each annotation.

    Returns:
        One dictionary an image: ``file_name``, ``height``, ``width``, ``image_id`` and
        ``annotations``, each with ``bbox`` (XYWH, absolute), ``bbox_mode``, ``category_id``,
        ``iscrowd``, and, where given, ``segmentation`` (polygons or compressed RLE).

    Raises:
        ValueError: if the file is not in COCO's format; the message says what is wrong.
    """
    content = _read_coco(json_file)
    id_map = None
    if dataset_name is not None:
        id_map = _enter_categories(json_file, content, dataset_name)
    reader = _AnnotationReader(json_file, id_map, extra_annotation_keys or ())
    by_image = _annotations_by_image(json_file, content.get("annotations", []))
    images = sorted(content["images"], key=lambda image: image["id"])
    dicts = [
        {
            "file_name": os.path.join(image_root, image["file_name"]),
            "height": image["height"],
            "width": image["width"],
            "image_id": image["id"],
            "annotations": reader.read_all(by_image.get(image["id"], ())),
        }
        for image in images
    ]
    logger.info("Loaded %d images in COCO format from %s", len(dicts), json_file)
    if reader.dropped:
        logger.warning(
            "Dropped %d annotations of %s: none of their polygons has three or more points.",
            reader.dropped,
            json_file,
        )
    return dicts


def _read_json(json_file: str, lists: Sequence[str]) -> dict[str, Any]:
    """The content of an annotation file that has these lists."""
    path = PathManager.get_local_path(json_file)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"The annotation file '{json_file}' does not exist; check the path it was registered "
            "with (built-in data sets lie below $DETECTRON2_DATASETS)."
        )
    with PathManager.open(json_file) as file:
        try:
            content = json.load(file)
        except ValueError as error:
            raise ValueError(f"{json_file} is not a valid json file: {error}") from error
    for name in lists:
        if not isinstance(content, dict) or name not in content:
            raise ValueError(f"{json_file} has no list '{name}': it is not a COCO instances file.")
    return content


def _read_coco(json_file: str) -> dict[str, Any]:
    content = _read_json(json_file, ("images",))
    for image in content["images"]:
        missing = {"id", "file_name", "height", "width"} - image.keys()
        if missing:
            raise ValueError(f"{json_file}: an image has no {sorted(missing)}; it has {image}.")
    return content


def _enter_categories(json_file: str, content: dict[str, Any], dataset_name: str) -> dict[int, int]:
    """Enter class names and ids in the metadata; returns the map to contiguous ids."""
    if "categories" not in content:
        raise ValueError(f"{json_file} has no list 'categories', so class names are unknown.")
    names = {c["id"]: c["name"] for c in content["categories"]}
    ids = sorted(names)
    contiguous = {category_id: index for index, category_id in enumerate(ids)}
    meta = MetadataCatalog.get(dataset_name)
    meta.thing_classes = [names[category_id] for category_id in ids]
    # COCO itself is known to have gaps; elsewhere they are worth a word.
    if ids != list(range(1, len(ids) + 1)) and "coco" not in dataset_name:
        logger.warning(
            "Category ids in %s are not 1 to %d; they are mapped to 0 to %d.",
            json_file,
            len(ids),
            len(ids) - 1,
        )
    meta.thing_dataset_id_to_contiguous_id = contiguous
    return contiguous


def _annotations_by_image(
    json_file: str, annotations: list[dict[str, Any]]
) -> dict[int, list[dict[str, Any]]]:
    # Two of the widely used 2014 files are known to repeat ids.
    if "minival" not in json_file:
        repeated = [i for i, n in Counter(anno.get("id") for anno in annotations).items() if n > 1]
        assert not repeated, (
            f"Annotation ids in {json_file} are not unique: {repeated[0]} occurs more than once."
        )
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for anno in annotations:
        by_image[anno["image_id"]].append(anno)
    return by_image


class _AnnotationReader:
    """Turns the annotations of one file into standard ones, and counts those it drops."""

    def __init__(
        self, json_file: str, id_map: dict[int, int] | None, extra_keys: Iterable[str]
    ) -> None:
        self.json_file, self.id_map = json_file, id_map
        self.keys = ("iscrowd", "bbox", "keypoints", "category_id", *extra_keys)
        self.dropped = 0

    def read_all(self, annotations: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        objects = map(self.read, annotations)
        return [obj for obj in objects if obj is not None]

    def read(self, anno: dict[str, Any]) -> dict[str, Any] | None:
        obj = {key: anno[key] for key in self.keys if key in anno}
        where = f"{self.json_file}: annotation {anno.get('id')} of image {anno['image_id']}"
        if anno.get("ignore", 0) != 0:
            raise ValueError(f"{where} has 'ignore' set, which is not supported; use 'iscrowd'.")
        if len(obj.get("bbox", ())) != 4:
            raise ValueError(
                f"{where} has no 'bbox' of four numbers (x, y, width, height): {obj.get('bbox')}."
            )
        if anno.get("segmentation"):
            obj["segmentation"] = self._segmentation(anno["segmentation"])
            if not obj["segmentation"]:
                self.dropped += 1
                return None
        obj["bbox_mode"] = BoxMode.XYWH_ABS
        if self.id_map is not None:
            if anno["category_id"] not in self.id_map:
                raise KeyError(
                    f"{where} has category_id={anno['category_id']}, which is not among the "
                    f"file's categories ({sorted(self.id_map)})."
                )
            obj["category_id"] = self.id_map[anno["category_id"]]
        return obj

    @staticmethod
    def _segmentation(segm: Any) -> Any:
        if isinstance(segm, dict):
            if isinstance(segm["counts"], list):  # uncompressed RLE
                return mask_util.frPyObjects(segm, *segm["size"])
            return segm
        return [polygon for polygon in segm if len(polygon) >= 6 and len(polygon) % 2 == 0]


def load_sem_seg(
    gt_root: str, image_root: str, gt_ext: str = "png", image_ext: str = "jpg"
) -> list[dict[str, Any]]:
    """Pair images with label maps: two folders with the same file stems.

    Args:
        gt_root: the folder of the label maps, images whose pixels are integer labels.
        image_root: the folder of the images.
        gt_ext, image_ext: the file extensions.

    Returns:
        One dictionary an image: ``file_name`` and ``sem_seg_file_name``, sorted by stem. An image
        without a label map, or the other way round, is left out with a warning.
    """
    images, labels = _files_by_stem(image_root, image_ext), _files_by_stem(gt_root, gt_ext)
    common = sorted(images.keys() & labels.keys())
    if not common:
        raise ValueError(f"No image in {image_root} has a label map of the same name in {gt_root}.")
    unpaired = sorted(images.keys() ^ labels.keys())
    if unpaired:
        logger.warning(
            "%d files in %s and %s have no partner and are left out, such as '%s'; %d pairs stay.",
            len(unpaired),
            image_root,
            gt_root,
            unpaired[0],
            len(common),
        )
    logger.info("Loaded %d images with semantic segmentation from %s", len(common), image_root)
    return [{"file_name": images[stem], "sem_seg_file_name": labels[stem]} for stem in common]


def _files_by_stem(folder: str, extension: str) -> dict[str, str]:
    if not PathManager.isdir(folder):
        raise FileNotFoundError(f"The folder '{folder}' does not exist.")
    names = [name for name in PathManager.ls(folder) if name.endswith(extension)]
    if not names:
        raise ValueError(f"There are no *.{extension.lstrip('.')} files in the folder '{folder}'.")
    return {os.path.splitext(name)[0]: os.path.join(folder, name) for name in names}


def register_coco_instances(
    name: str, metadata: dict[str, Any], json_file: str, image_root: str
) -> None:
    """Register a data set in COCO's instance format. The file is read when it is first used.

    Args:
        name: the name to register, such as ``my_data_train``.
        metadata: more entries for the metadata; may be empty.
        json_file: the path of the json file.
        image_root: the folder of the images.
    """
    for value in (name, json_file, image_root):
        if not isinstance(value, (str, os.PathLike)):
            raise TypeError(f"register_coco_instances takes names and paths, not {value!r}.")
    DatasetCatalog.register(name, partial(load_coco_json, json_file, image_root, name))
    meta = MetadataCatalog.get(name)
    meta.set(json_file=json_file, image_root=image_root, evaluator_type="coco", **metadata)


main = unavailable(__name__, INTERNALS, "main")
