"""Semantic segmentation from any two folders: images, and label maps of the same names."""

import json
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.errors import MissingFileError, UserError

from .labels import IGNORE_LABEL, MAX_CLASSES, check_label_maps, image_size, require_learnable
from .palette import distinct_colours

logger = logging.getLogger("detectron2.projects_ext")

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})

Record = dict[str, Any]


def load_classes(classes: Sequence[str] | str) -> list[str]:
    """The names of the classes, by label.

    Args:
        classes: the names themselves; or a file: ``.txt`` with a name on each line, ``.json`` with
            a list of names, or ``FILE.json:KEY`` for a list under a key.

    Raises:
        UserError: there are none, too many or equal ones, or the file holds something else.
    """
    where = classes if isinstance(classes, str) else "data.classes"
    names = _classes_from_file(classes) if isinstance(classes, str) else [*map(str, classes)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{where} names the class {twice[0]} twice: give each its own name")
    if not 1 <= len(names) <= MAX_CLASSES:
        raise UserError(
            f"{where} has {len(names)} classes: give 1 to {MAX_CLASSES} names, since a label is a "
            "byte and 255 is ignored"
        )
    return names


def _classes_from_file(where: str) -> list[str]:
    if not where:
        raise UserError(
            "the classes are not given: add data.classes=[name,name,…] or data.classes=FILE (.txt "
            "or .json) to the command line"
        )
    path, colon, key = where.rpartition(".json:")
    path, key = (f"{path}.json", key) if colon else (where, "")
    if not Path(path).is_file():
        raise MissingFileError(f"no file of class names at {path}: correct data.classes")
    text = Path(path).read_text()
    if not path.endswith(".json"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not valid json ({error}): write it again") from error
    names = content.get(key) if isinstance(content, dict) else content
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        keys = f" under one of {', '.join(content)}" if isinstance(content, dict) else ""
        raise UserError(f"{where} is no list of class names: give FILE.json:KEY with a list{keys}")
    return names


def count_classes(classes: Sequence[str] | str) -> int:
    """The number of classes: the model's ``num_classes``; see :func:`load_classes`."""
    return len(load_classes(classes))


def register_label_folders(images: str, labels: str, classes: Sequence[str] | str) -> str:
    """Check two folders, register them as a data set and return its name.

    Images and label maps belong together by their paths within their folders, without suffixes;
    folders within folders are read too. Doing so twice is harmless.

    Args:
        images: folder of images.
        labels: folder of label maps: 8-bit grey PNG, a pixel is a class's number or 255.
        classes: see :func:`load_classes`.

    Raises:
        MissingFileError: a folder is missing, or the image of a label map.
        UserError: a path is empty; nothing is in a folder; a label map cannot be used (see
            :func:`~projects_ext.data.labels.check_label_map`), or all of them have nothing to
            learn (see :func:`~projects_ext.data.labels.require_learnable`).
    """
    names = load_classes(classes)
    name = f"{labels} ({images})"
    if name in DatasetCatalog.list():
        if MetadataCatalog.get(name).stuff_classes == names:
            return name
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    register_label_maps(name, pair_files(images, labels), names)
    MetadataCatalog.get(name).set(image_root=images, sem_seg_root=labels)
    return name


def register_label_maps(name: str, records: Sequence[Record], classes: Sequence[str]) -> None:
    """Check label maps and register them under a name.

    Args:
        name: of the data set.
        records: as :func:`pair_files` returns them.
        classes: the names, by label.

    Raises:
        UserError: as for :func:`register_label_folders`.
    """
    statistics = check_label_maps(records, classes, name)
    logger.info(f"{len(records)} images with label maps in {name}:\n{statistics.table()}")
    require_learnable(statistics, name)
    DatasetCatalog.register(name, lambda: [dict(record) for record in records])
    MetadataCatalog.get(name).set(
        stuff_classes=list(classes),
        stuff_colors=distinct_colours(classes),
        ignore_label=IGNORE_LABEL,
        evaluator_type="sem_seg",
    )


def pair_files(images: str, labels: str) -> list[Record]:
    """One record for each label map, sorted by name.

    Returns:
        ``file_name``, ``sem_seg_file_name``, ``height`` and ``width`` (of the image) each.

    Raises:
        MissingFileError: a folder is missing, or the image of a label map.
        UserError: a path is empty, a folder has no suitable file, or two images have one name.
    """
    image_files = _files(images, "images", IMAGE_SUFFIXES)
    label_files = _files(labels, "labels", {".png"})
    alone = sorted(label_files.keys() - image_files.keys())
    if alone:
        raise MissingFileError(
            f"{len(alone)} of the {len(label_files)} label maps in {labels} have no image of the "
            f"same name in {images}, the first is {alone[0]}.png: copy the images there, or take "
            "the label maps out"
        )
    unlabelled = len(image_files) - len(label_files)
    if unlabelled:
        logger.warning(f"{unlabelled} images in {images} have no label map and are left out")
    stems = sorted(label_files)
    with ThreadPoolExecutor(8) as pool:
        sizes = pool.map(image_size, (image_files[stem] for stem in stems))
        return [
            {
                "file_name": image_files[stem],
                "sem_seg_file_name": label_files[stem],
                "height": height,
                "width": width,
            }
            for stem, (height, width) in zip(stems, sizes, strict=True)
        ]


def _files(folder: str, what: str, suffixes: Iterable[str]) -> dict[str, str]:
    """The files below a folder by their path in it without suffix."""
    keys = f"data.train_{what} and data.val_{what} (YAML: under DATASETS.LABEL_FOLDERS)"
    if not folder:
        raise UserError(f"the folder of the {what} is not given: add {keys} to the command line")
    if not Path(folder).is_dir():
        own = "shapes" in Path(folder).parts
        remedy = "run `python datasets/prepare_shapes.py` first" if own else f"correct {keys}"
        raise MissingFileError(f"no folder of {what} at {folder}: {remedy}")
    found: dict[str, str] = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise UserError(f"{path} and {found[stem]} differ in their suffix only: remove one")
        found[stem] = str(path)
    if not found:
        kinds = ", ".join(f"*{suffix}" for suffix in sorted(suffixes))
        raise UserError(f"the folder of {what} {folder} has no {kinds}: correct {keys}")
    return found
