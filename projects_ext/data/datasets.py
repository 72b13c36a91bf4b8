"""Data sets in COCO format, named by their paths instead of by an entry in a catalog."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from projects_ext.errors import MissingFileError, UserError

from .validate import inspect, require_images, require_valid


def register_coco_format(json_file: str, image_root: str, skip_invalid: bool = False) -> str:
    """Check the data set, register it and return its name; doing so twice is harmless.

    Args:
        json_file: annotations in COCO format.
        image_root: the folder that the json's ``file_name`` entries are relative to.
        skip_invalid: leave out annotations with a box of no area or a polygon of fewer than three
            points, with a warning, instead of refusing the file.

    Raises:
        MissingFileError: one of the two is missing, or an image.
        UserError: a path is empty, the json is not in COCO format, or an annotation in it belongs
            to no image or category, or has no usable shape.
    """
    if not image_root:
        raise UserError(
            "the folder of the images is not given: add data.train_images=… and data.val_images=… "
            "to the command line"
        )
    if not Path(image_root).is_dir():
        raise MissingFileError(
            f"no folder of images at {image_root}: correct data.train_images or data.val_images"
        )
    _require_file(json_file)
    name = f"{json_file} ({image_root})"
    if name not in DatasetCatalog.list():
        require_valid(json_file, skip_invalid)
        require_images(json_file, image_root)
        # Known from now on, so that the model's class count can be compared before it is loaded.
        metadata = {"thing_classes": list(inspect(json_file).classes)}
        register_coco_instances(name, metadata, json_file, image_root)
    return name


def count_categories(json_file: str) -> int:
    """The number of categories that a COCO-format file names: the model's ``num_classes``.

    Raises:
        MissingFileError: no such file.
        UserError: the path is empty, or the content is not in COCO format.
    """
    _require_file(json_file)
    return len(inspect(json_file).classes)


def _require_file(json_file: str) -> None:
    if not json_file:
        raise UserError(
            "the annotation file is not given: add data.train_json=… and data.val_json=… to the "
            "command line"
        )
    path = Path(json_file)
    if not path.is_file():
        own = "shapes" in path.parts
        remedy = "run `python datasets/prepare_shapes.py` first" if own else "correct data.*_json"
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
            "crowd region; correct the annotation file, or train on images without objects by "
            "dataloader.train.dataset.filter_empty=False (YAML: "
            "DATALOADER.FILTER_EMPTY_ANNOTATIONS False)"
        )
    if text.endswith("is empty"):
        return UserError(f"{text}: add images to it, or name another data set")
    return None


def require_class_count(model: nn.Module, dataset_names: str | Iterable[str]) -> None:
    """Compare the model's number of classes with that of the data sets, as far as both are known.

    For instances, the model's is the ``num_classes`` of itself or of the outermost of its parts
    that have one; for label maps, what the last layer of its ``sem_seg_head`` predicts.

    Raises:
        UserError: they differ.
    """
    names = [dataset_names] if isinstance(dataset_names, str) else list(dataset_names)
    for name in names:
        metadata = MetadataCatalog.get(name)
        if str(metadata.get("evaluator_type")).endswith("sem_seg"):
            classes, counts = metadata.get("stuff_classes"), _semantic_counts(model)
        else:
            classes, counts = metadata.get("thing_classes"), _declared_counts(model)
        for path, count in counts if classes is not None else []:
            if len(classes) != count:
                key = ".".join(filter(None, ["model", path, "num_classes"]))
                raise UserError(
                    f"{key} is {count}, but {name} has {len(classes)} categories "
                    f"({', '.join(map(str, classes[:3]))}{', …' if len(classes) > 3 else ''}): set "
                    f"{key}={len(classes)} (YAML: NUM_CLASSES under MODEL), or give the data set "
                    "that the model is for"
                )


def _semantic_counts(model: nn.Module) -> list[tuple[str, int]]:
    """Path of the head that gives every pixel a class, and how many there are."""
    paths = {path.removeprefix("module."): module for path, module in model.named_modules()}
    head = paths.get("sem_seg_head")
    count = getattr(getattr(head, "predictor", None), "out_channels", None)
    return [("sem_seg_head", count)] if isinstance(count, int) else []


def _declared_counts(model: nn.Module) -> list[tuple[str, int]]:
    """Path and class count of the outermost modules that tell one for instances."""
    found = [
        (path.removeprefix("module."), module.num_classes)
        for path, module in model.named_modules()
        if isinstance(getattr(module, "num_classes", None), int) and "sem_seg" not in path
    ]
    depth = min((path.count(".") + bool(path) for path, _ in found), default=0)
    return [(path, count) for path, count in found if path.count(".") + bool(path) == depth]
