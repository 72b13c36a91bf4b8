"""Whether models and data sets mean the same classes."""

from collections.abc import Iterable, Sequence

from torch import nn

from detectron2.data import MetadataCatalog
from projects_ext.errors import UserError


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
        of_maps = str(metadata.get("evaluator_type")).endswith("sem_seg")
        classes = metadata.get("stuff_classes" if of_maps else "thing_classes")
        counts = class_counts(model, of_maps)
        for path, count in counts if classes is not None else []:
            if len(classes) != count:
                key = ".".join(filter(None, ["model", path, "num_classes"]))
                raise UserError(
                    f"{key} is {count}, but {name} has {len(classes)} categories "
                    f"({', '.join(map(str, classes[:3]))}{', …' if len(classes) > 3 else ''}): set "
                    f"{key}={len(classes)} (YAML: NUM_CLASSES under MODEL), or give the data set "
                    "that the model is for"
                )


def class_counts(model: nn.Module, of_maps: bool) -> list[tuple[str, int]]:
    """What of a model says how many classes it has, and how many, as far as that is known.

    Args:
        model: a detector or a model of label maps.
        of_maps: whether the classes of label maps are meant, else those of instances.

    Returns:
        path of a module in the model and its class count; usually one.
    """
    return _semantic_counts(model) if of_maps else _declared_counts(model)


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


def require_same_classes(training_sets: Iterable[str], test_sets: Iterable[str]) -> None:
    """Refuse data sets that number their classes in different ways, as far as they say.

    Instances are compared by ``thing_classes``, label maps by ``stuff_classes`` of the metadata.

    Raises:
        UserError: two data sets differ, with the first class that does.
    """
    known: dict[str, tuple[str, list[str]]] = {}
    for name in dict.fromkeys((*training_sets, *test_sets)):
        metadata = MetadataCatalog.get(name)
        is_semantic = str(metadata.get("evaluator_type")).endswith("sem_seg")
        key = "stuff_classes" if is_semantic else "thing_classes"
        classes = metadata.get(key)
        if classes is None:
            continue
        first, expected = known.setdefault(key, (name, list(classes)))
        if list(classes) != expected:
            raise UserError(_different_classes(first, expected, name, list(classes)))


def _different_classes(
    first: str, expected: Sequence[str], second: str, classes: Sequence[str]
) -> str:
    pairs = enumerate(zip(expected, classes, strict=False))
    differing = next((i for i, (one, other) in pairs if one != other), None)
    where = (
        f"has {len(classes)} classes and {first} has {len(expected)}"
        if differing is None
        else f"has {classes[differing]} as class {differing}, and {first} {expected[differing]}"
    )
    return (
        f"{second} {where}: list the classes in the same order where the data sets are registered "
        "(files given as data.train_json and data.val_json, YAML: DATASETS.COCO_FORMAT.TRAIN_JSON "
        "and VAL_JSON, are matched by name)"
    )
