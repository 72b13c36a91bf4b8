"""Registers the built-in data sets, below the folder $DETECTRON2_DATASETS (default "datasets").

Registration reads no file; a data set is looked for when it is first used.
"""

from __future__ import annotations

import os
from functools import partial

from detectron2.data.catalog import DatasetCatalog, MetadataCatalog

from .builtin_meta import ADE20K_SEM_SEG_CATEGORIES, _get_builtin_metadata  # noqa: F401
from .cityscapes import load_cityscapes_instances, load_cityscapes_semantic
from .cityscapes_panoptic import register_all_cityscapes_panoptic
from .coco import load_sem_seg, register_coco_instances
from .coco_panoptic import register_coco_panoptic, register_coco_panoptic_separated
from .lvis import get_lvis_instances_meta, register_lvis_instances
from .pascal_voc import register_pascal_voc

# Name: (folder of the images, annotation file), below coco/.
_COCO_SPLITS = {
    "coco_2014_train": ("train2014", "instances_train2014"),
    "coco_2014_val": ("val2014", "instances_val2014"),
    "coco_2014_minival": ("val2014", "instances_minival2014"),
    "coco_2014_valminusminival": ("val2014", "instances_valminusminival2014"),
    "coco_2017_train": ("train2017", "instances_train2017"),
    "coco_2017_val": ("val2017", "instances_val2017"),
    "coco_2017_test": ("test2017", "image_info_test2017"),
    "coco_2017_test-dev": ("test2017", "image_info_test-dev2017"),
    "coco_2017_val_100": ("val2017", "instances_val2017_100"),
}

_PERSON_SPLITS = {
    f"keypoints_{name}": (images, json_name.replace("instances", "person_keypoints"))
    for name, (images, json_name) in _COCO_SPLITS.items()
    if "test" not in name
}

# Name: annotation file, below lvis/. The images are COCO's.
_LVIS_SPLITS = {
    "lvis_v1_train": "lvis_v1_train",
    "lvis_v1_val": "lvis_v1_val",
    "lvis_v1_test_dev": "lvis_v1_image_info_test_dev",
    "lvis_v1_test_challenge": "lvis_v1_image_info_test_challenge",
    "lvis_v0.5_train": "lvis_v0.5_train",
    "lvis_v0.5_val": "lvis_v0.5_val",
    "lvis_v0.5_val_rand_100": "lvis_v0.5_val_rand_100",
    "lvis_v0.5_test": "lvis_v0.5_image_info_test",
    "lvis_v0.5_train_cocofied": "lvis_v0.5_train_cocofied",
    "lvis_v0.5_val_cocofied": "lvis_v0.5_val_cocofied",
}


def register_all_coco(root: str) -> None:
    """Register the instance annotations of COCO, expected in ``root/coco``."""
    base = os.path.join(root, "coco")
    for kind, splits in {"coco": _COCO_SPLITS, "coco_person": _PERSON_SPLITS}.items():
        for name, (images, json_name) in splits.items():
            json_file = os.path.join(base, "annotations", f"{json_name}.json")
            meta = _get_builtin_metadata(kind)
            register_coco_instances(name, meta, json_file, os.path.join(base, images))
    for split in ("train", "val", "val_100"):
        _register_coco_panoptic(base, split)


def _register_coco_panoptic(base: str, split: str) -> None:
    """A part of COCO 2017 with stuff: in one numbering, and with things and stuff apart."""
    name = f"coco_2017_{split}_panoptic"
    instances = MetadataCatalog.get(f"coco_2017_{split}")
    part, _, rest = split.partition("_")
    suffix = f"{part}2017_{rest}" if rest else f"{part}2017"
    roots = (instances.image_root, os.path.join(base, f"panoptic_{suffix}"))
    panoptic_json = os.path.join(base, "annotations", f"panoptic_{suffix}.json")
    register_coco_panoptic_separated(
        name,
        _get_builtin_metadata("coco_panoptic_separated"),
        *roots,
        panoptic_json,
        os.path.join(base, f"panoptic_stuff_{suffix}"),
        instances.json_file,
    )
    standard = _get_builtin_metadata("coco_panoptic_standard")
    register_coco_panoptic(name, standard, *roots, panoptic_json, instances.json_file)


def register_all_cityscapes(root: str) -> None:
    """Register the fine annotations of Cityscapes, expected in ``root/cityscapes``.

    Semantic segmentation reads ``*_labelTrainIds.png``, which cityscapesscripts makes.
    """
    tasks = {
        "instance_seg": (load_cityscapes_instances, "cityscapes_instance", {}),
        "sem_seg": (load_cityscapes_semantic, "cityscapes_sem_seg", {"ignore_label": 255}),
    }
    meta = _get_builtin_metadata("cityscapes")
    for split in ("train", "val", "test"):
        folders = {
            "image_dir": os.path.join(root, "cityscapes", "leftImg8bit", split, ""),
            "gt_dir": os.path.join(root, "cityscapes", "gtFine", split, ""),
        }
        for task, (load, evaluator_type, extra) in tasks.items():
            name = f"cityscapes_fine_{task}_{split}"
            DatasetCatalog.register(name, partial(load, **folders))
            entry = MetadataCatalog.get(name)
            entry.set(evaluator_type=evaluator_type, **folders, **meta, **extra)


def register_all_ade20k(root: str) -> None:
    """Register ADE20K scene parsing, expected in ``root/ADEChallengeData2016``.

    Labels are read from ``annotations_detectron2``, where 0 to 149 are the classes and 255 is
    "ignore"; the published files count from 1 and use 0.
    """
    base = os.path.join(root, "ADEChallengeData2016")
    for split, folder in (("train", "training"), ("val", "validation")):
        image_root = os.path.join(base, "images", folder)
        gt_root = os.path.join(base, "annotations_detectron2", folder)
        name = f"ade20k_sem_seg_{split}"
        DatasetCatalog.register(name, partial(load_sem_seg, gt_root, image_root))
        MetadataCatalog.get(name).set(
            image_root=image_root,
            sem_seg_root=gt_root,
            evaluator_type="sem_seg",
            ignore_label=255,
            **_get_builtin_metadata("ade20k_sem_seg"),
        )


def register_all_lvis(root: str) -> None:
    """Register LVIS, expected in ``root/lvis``, on the images in ``root/coco``."""
    for name, json_name in _LVIS_SPLITS.items():
        json_file = os.path.join(root, "lvis", f"{json_name}.json")
        images = os.path.join(root, "coco", "")
        register_lvis_instances(name, get_lvis_instances_meta(name), json_file, images)


def register_all_pascal_voc(root: str) -> None:
    """Register PASCAL VOC's boxes, expected in ``root/VOC2007`` and ``root/VOC2012``."""
    for year, splits in ((2007, "train val trainval test"), (2012, "train val trainval")):
        for split in splits.split():
            name = f"voc_{year}_{split}"
            register_pascal_voc(name, os.path.join(root, f"VOC{year}"), split, year)
            MetadataCatalog.get(name).evaluator_type = "pascal_voc"


_root = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
register_all_coco(_root)
register_all_cityscapes(_root)
register_all_cityscapes_panoptic(_root)
register_all_ade20k(_root)
register_all_lvis(_root)
register_all_pascal_voc(_root)

# Upstream's names and forms of the tables: paths below the folder of the data sets.
_PREDEFINED_SPLITS_COCO = {
    kind: {n: (f"coco/{i}", f"coco/annotations/{j}.json") for n, (i, j) in splits.items()}
    for kind, splits in {"coco": _COCO_SPLITS, "coco_person": _PERSON_SPLITS}.items()
}
_PREDEFINED_SPLITS_COCO_PANOPTIC = {
    f"coco_2017_{split}_panoptic": (
        f"coco/panoptic_{folder}",
        f"coco/annotations/panoptic_{folder}.json",
        f"coco/panoptic_stuff_{folder}",
    )
    for split, folder in {"train": "train2017", "val": "val2017", "val_100": "val2017_100"}.items()
}
_RAW_CITYSCAPES_SPLITS = {
    f"cityscapes_fine_{{task}}_{split}": (
        f"cityscapes/leftImg8bit/{split}/",
        f"cityscapes/gtFine/{split}/",
    )
    for split in ("train", "val", "test")
}
_PREDEFINED_SPLITS_LVIS: dict[str, dict[str, tuple[str, str]]] = {}
for _name, _json_name in _LVIS_SPLITS.items():
    _version = "lvis_v1" if "v1" in _name else "lvis_v0.5"
    _version += "_cocofied" if "cocofied" in _name else ""
    _split = ("coco/", f"lvis/{_json_name}.json")
    _PREDEFINED_SPLITS_LVIS.setdefault(_version, {})[_name] = _split
