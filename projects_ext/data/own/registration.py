"""A data set of the user's own as an entry in Detectron2's catalogs."""

from collections.abc import Sequence

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from projects_ext.data.coco import Options, inspect
from projects_ext.data.label_folders import register_label_maps
from projects_ext.data.validate import warn, warn_of_nothing_to_evaluate, warn_of_untrained_classes

from .dataset import OwnData, Wanted, own_data

_registered: dict[tuple[Wanted, str], tuple[OwnData, str]] = {}


def register_own_data(
    part: str,
    sources: Sequence[str],
    val: Sequence[str] = (),
    classes: Sequence[str] | str = (),
    of_maps: bool = False,
    format: str = "",
    images: str = "",
    labels: str = "",
    group: str = "",
    val_fraction: float = 0.2,
    split_seed: int = 0,
    skip_invalid: bool = False,
    iscrowd_as_objects: bool = False,
    masks: bool = True,
    masks_required: bool = False,
    found: str = "",
) -> str:
    """Read a data set in any known format, register a part of it and return its name.

    Doing so twice is harmless.

    Args:
        part: ``train`` or ``val``.
        sources: files or folders, joined by the names of their classes.
        val: those to validate on; none: what the sources name as such, or split off.
        classes: the names in the order of the model; none: those of the data.
        of_maps: whether label maps are meant, else objects.
        format: of the sources; "" to recognise it.
        images: the folder of the images, where it cannot be found.
        labels: the folder of the label maps, where there are several.
        group: an expression for what names of images that belong together have in common.
        val_fraction: the share of the images that is split off.
        split_seed: of the split.
        skip_invalid, iscrowd_as_objects, masks, masks_required: as for
            :func:`projects_ext.data.register_coco_format`.
        found: what :attr:`OwnData.found` was when the config was written; "" if nobody knows. If it
            has changed, a warning says so.

    Raises:
        UserError: something about the data is wrong.
    """
    wanted = wanted_data(
        sources, val, classes, of_maps, format, images, labels, group, val_fraction, split_seed,
        skip_invalid, iscrowd_as_objects, masks, masks_required,
    )  # fmt: skip
    data = own_data(wanted)
    known, name = _registered.get((wanted, part), (None, ""))
    if known is not data:
        if found and found != data.found and part == "train":
            warn(
                f"{data.name}: the config was written for {found.partition(',')[0]} (training + "
                f"validation), and now there are {data.found.partition(',')[0]} or others: images "
                "to validate on may have been trained on; to keep the parts apart, give those to "
                "validate on by data.val=FOLDER"
            )
        name = _register(data, part, wanted)
        _registered[wanted, part] = data, name
    return name


def wanted_data(
    sources: Sequence[str],
    val: Sequence[str],
    classes: Sequence[str] | str,
    of_maps: bool,
    format: str,
    images: str,
    labels: str,
    group: str,
    val_fraction: float,
    split_seed: int,
    skip_invalid: bool,
    iscrowd_as_objects: bool,
    masks: bool,
    masks_required: bool,
) -> Wanted:
    """The arguments of :func:`register_own_data` in one object that can be compared."""

    def paths(given: Sequence[str]) -> tuple[str, ...]:
        return (given,) if isinstance(given, str) else tuple(map(str, given))

    return Wanted(
        sources=paths(sources),
        val=paths(val) if val else (),
        of_maps=of_maps,
        form=format,
        images=images,
        labels=labels,
        classes=classes if isinstance(classes, str) else tuple(map(str, classes)),
        group=group,
        val_fraction=val_fraction,
        seed=split_seed,
        options=Options(skip_invalid, iscrowd_as_objects, masks),
        masks_required=masks_required,
    )


def _register(data: OwnData, part: str, wanted: Wanted) -> str:
    taken, number = DatasetCatalog.list(), 1
    name = plain = f"{data.name} ({part})"
    while name in taken:  # of other options, or from before a file changed
        number += 1
        name = f"{plain} [{number}]"
    is_train = part == "train"
    if wanted.of_maps:
        register_label_maps(name, data.train if is_train else data.val, list(data.classes))
        return name
    path = data.files[0 if is_train else 1]
    found = inspect(path)
    if is_train:
        warn_of_untrained_classes(data.name, found, wanted.options)
    else:
        warn_of_nothing_to_evaluate(f"{data.name} (validation)", found, wanted.options)
    register_coco_instances(name, {"thing_classes": list(data.classes)}, path, "/")
    assert MetadataCatalog.get(name).thing_classes == list(data.classes)
    return name
