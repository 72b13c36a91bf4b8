"""Data sets in COCO format, named by their paths instead of by an entry in a catalog."""

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog
from detectron2.data.datasets import register_coco_instances
from projects_ext.errors import MissingFileError, UserError

from .coco import Options, inspect, normalized_file
from .coco.guard import require_safe_masks
from .coco.normalized import Part
from .validate import (
    require_images,
    require_masks_kept,
    require_valid,
    warn_of_nothing_to_evaluate,
    warn_of_untrained_classes,
)

Paths = str | Sequence[str]
"""One path, or one for each of several files."""

_registered: dict[Any, str] = {}
"""The names by what was registered."""


def register_coco_format(
    json_file: Paths,
    image_root: Paths,
    skip_invalid: bool = False,
    iscrowd_as_objects: bool = False,
    masks: bool = True,
    masks_required: bool = False,
    train_json: Paths | None = None,
) -> str:
    """Check a data set, register it and return its name; doing so twice is harmless.

    What is registered is the file itself or, where something in it has to change, a normalized
    copy, so that training and evaluation see the same: annotations left out, crowds as objects,
    missing ids, areas and image sizes, classes in the order of the training file.

    Args:
        json_file: annotations in COCO format; several files, whose classes agree by name, are
            joined.
        image_root: the folder that the json's ``file_name`` entries are relative to; one for all
            files, or as many as files.
        skip_invalid: leave out annotations that cannot be used (a box or mask without area, a
            polygon of fewer than three points or far outside its image, run lengths that do not
            fill it, no mask), with a warning, instead of refusing the file.
        iscrowd_as_objects: take objects that are marked ``iscrowd=1`` as ordinary ones.
        masks: whether every object must have a mask; if not, masks are not used.
        masks_required: whether the model cannot do without masks.
        train_json: for an evaluation set, the annotations that the model was trained on: classes
            are matched with theirs by name.

    Raises:
        MissingFileError: a file or folder is missing, or an image.
        UserError: a path is empty, the json is not in COCO format, an annotation in it cannot be
            used, or a class is not among those of the training file.
    """
    files, roots = _paths(json_file), _paths(image_root)
    training = _paths(train_json) if train_json else files
    _require_folders(roots)
    roots = roots * len(files) if len(roots) == 1 else roots
    if len(roots) != len(files):
        raise UserError(
            f"there are {len(files)} annotation files and {len(roots)} folders of images: give one "
            "folder for all (data.*_images; YAML: DATASETS.COCO_FORMAT.*_IMAGES), or as many as "
            "files"
        )
    _require_different(files, roots)
    require_masks_kept(masks, masks_required)
    for file in (*files, *training):
        _require_file(file)
    # A file that was written anew is another data set.
    content = tuple(os.stat(file).st_mtime_ns for file in (*files, *training))
    options = Options(skip_invalid, iscrowd_as_objects, masks)
    key = (files, roots, training, content, options)
    if key not in _registered:
        _registered[key] = _register(files, roots, training, options, masks_required)
    return _registered[key]


def require_safe_data(names: Iterable[str]) -> None:
    """Refuse data sets, registered by others, with masks that the mask library cannot be given.

    Raises:
        UserError: with the file and the first annotation.
    """
    require_safe_masks(names, checked=_registered.values())


def _register(
    files: tuple[str, ...],
    roots: tuple[str, ...],
    training: tuple[str, ...],
    options: Options,
    masks_required: bool,
) -> str:
    for file, root in zip(files, roots, strict=True):
        require_images(file, inspect(file).files, root)
    parts = [Part(file, root, inspect(file, root)) for file, root in zip(files, roots, strict=True)]
    classes = _joined_classes(training)
    for part in parts:
        require_valid(part.json_file, part.inspection, options, masks_required)
        if training == files:
            warn_of_untrained_classes(part.json_file, part.inspection, options)
        else:
            _require_known(part, classes, training)
            warn_of_nothing_to_evaluate(part.json_file, part.inspection, options)
    path = normalized_file(parts, replace(options, classes=classes))
    taken = DatasetCatalog.list()
    name = plain = f"{' + '.join(files)} ({' + '.join(dict.fromkeys(roots))})"
    number = 1
    while name in taken:  # registered with other options
        number += 1
        name = f"{plain} [{number}]"
    # Known from now on, so that the model's class count can be compared before it is loaded.
    register_coco_instances(name, {"thing_classes": list(classes)}, path, roots[0])
    return name


def _require_different(files: Sequence[str], roots: Sequence[str]) -> None:
    """Refuse to join a file with itself, which would count each of its images twice."""
    seen: dict[tuple[str, str], str] = {}
    for file, root in zip(files, roots, strict=True):
        real = os.path.realpath(file), os.path.realpath(root)
        if file and real in seen:
            same = f"{seen[real]} and {file} are" if seen[real] != file else f"{file} is"
            raise UserError(
                f"{same} the same file, given twice to be joined: name each file of data.*_json "
                "(YAML: under DATASETS.COCO_FORMAT) once"
            )
        seen[real] = file


def _joined_classes(files: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of files to be joined, in the order of the first one.

    Raises:
        UserError: a file has other classes than the first.
    """
    classes = inspect(files[0]).classes
    for file in files[1:]:
        others = inspect(file).classes
        different = sorted(set(classes) ^ set(others))
        if different:
            raise UserError(
                f"{files[0]} and {file} cannot be joined: only one of them has the "
                f"{'class' if len(different) == 1 else 'classes'} {', '.join(different[:5])}"
                f"{', …' if len(different) > 5 else ''}: list the same categories in both"
            )
    return classes


def _require_known(part: Part, classes: Sequence[str], training: Sequence[str]) -> None:
    unknown = [name for name in part.inspection.classes if name not in classes]
    if unknown:
        raise UserError(
            f"{part.json_file} has {'a class' if len(unknown) == 1 else 'classes'} that "
            f"{' + '.join(training)} does not have, {_quoted(unknown)} (it has "
            f"{_quoted(classes)}): give both files the same class names, or take "
            "the category and its objects out"
        )


def _quoted(names: Sequence[str]) -> str:
    """The first of them, with quotes that show blanks."""
    return ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")


def count_categories(json_file: Paths) -> int:
    """The number of categories that a COCO-format file names: the model's ``num_classes``.

    Args:
        json_file: one file, or several that agree in their classes.

    Raises:
        MissingFileError: no such file.
        UserError: the path is empty, or the content is not in COCO format.
    """
    files = _paths(json_file)
    for file in files:
        _require_file(file)
    return len(_joined_classes(files))


def _paths(given: Any) -> tuple[str, ...]:
    """One path or several, as text.

    Raises:
        UserError: something else.
    """
    paths = [given] if isinstance(given, str | os.PathLike) or given is None else given
    if not isinstance(paths, Sequence) or not all(
        isinstance(path, str | os.PathLike) or path is None for path in paths
    ):
        raise UserError(
            f"{given} is no path: data.*_json and data.*_images (YAML: "
            "DATASETS.COCO_FORMAT.*_JSON and *_IMAGES) take a path, or a list of paths such as "
            "[first.json,second.json]"
        )
    return tuple("" if path is None else str(path) for path in paths) or ("",)


def _require_folders(roots: Sequence[str]) -> None:
    for root in roots:
        if not root:
            raise UserError(
                "the folder of the images is not given: add data.train_images=… and "
                "data.val_images=… to the command line (YAML: DATASETS.COCO_FORMAT.TRAIN_IMAGES … "
                "and DATASETS.COCO_FORMAT.VAL_IMAGES …)"
            )
        if not Path(root).is_dir():
            raise MissingFileError(
                f"no folder of images at {root}: correct data.train_images or data.val_images "
                "(YAML: DATASETS.COCO_FORMAT.TRAIN_IMAGES or VAL_IMAGES)"
            )


def _require_file(json_file: str) -> None:
    if not json_file:
        raise UserError(
            "the annotation file is not given: add data.train_json=… and data.val_json=… to the "
            "command line (YAML: DATASETS.COCO_FORMAT.TRAIN_JSON … and "
            "DATASETS.COCO_FORMAT.VAL_JSON …)"
        )
    path = Path(json_file)
    if not path.is_file():
        own = "shapes" in path.parts
        remedy = "correct data.*_json (YAML: DATASETS.COCO_FORMAT.*_JSON)"
        if own:
            remedy = "run `python datasets/prepare_shapes.py` first"
        raise MissingFileError(f"no annotation file at {json_file}: {remedy}")


@contextmanager
def dataset_errors() -> Iterator[None]:
    """Within, what Detectron2 says about data sets that it cannot use is said to the user.

    For ``get_detection_dataset_dicts``: no or unknown names, missing files, no usable images.
    """
    try:
        yield
    except UserError:
        raise
    except (AssertionError, KeyError, ValueError, FileNotFoundError) as error:
        found = _explain(error)
        if found is None:
            raise
        raise found from error


def _explain(error: Exception) -> UserError | None:
    """What to tell the user; None where the error has another reason."""
    text = " ".join(str(error.args[0] if error.args else "").split()).rstrip(".!")
    if isinstance(error, FileNotFoundError):
        missing = error.filename or text
        return MissingFileError(
            f"{missing}: no such file: set the environment variable DETECTRON2_DATASETS to the "
            "folder of the data sets, or correct the paths with which this one was registered"
        )
    if text in ("()", "[]") or text.startswith("No dataset names"):
        return UserError(
            "the config names no data set: give dataloader.train.dataset.names (YAML: "
            "DATASETS.TRAIN and DATASETS.TEST, or the paths under DATASETS.COCO_FORMAT)"
        )
    if isinstance(error, KeyError) and "not registered" in text:
        unknown = text.split("'")[1] if "'" in text else text
        near = difflib.get_close_matches(unknown, DatasetCatalog.list(), n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(near)}?" if near else "correct its name, or register it"
        return UserError(f"there is no data set {unknown}: {meant}")
    if text.startswith("No valid data found"):
        return UserError(
            f"{text.split(':')[0].rstrip('.')}: none of its images has an annotation that is not a "
            "crowd region; correct the annotation file, take crowd regions as objects by "
            "data.iscrowd_as_objects=True (YAML: DATASETS.COCO_FORMAT.ISCROWD_AS_OBJECTS True), or "
            "train on images without objects by dataloader.train.dataset.filter_empty=False (YAML: "
            "DATALOADER.FILTER_EMPTY_ANNOTATIONS False)"
        )
    if text.endswith("is empty"):
        return UserError(f"{text}: add images to it, or name another data set")
    return None
