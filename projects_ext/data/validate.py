"""Whether data sets in COCO format can be used, said before anything is built on them."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath

from projects_ext.errors import MissingFileError, UserError

from .coco import Inspection, Options
from .coco.findings import NO_MASK_REMEDY, Finding
from .coco.normalized import concerning

logger = logging.getLogger("detectron2.projects_ext")

_SKIP = (
    "add data.skip_invalid=True (YAML: DATASETS.COCO_FORMAT.SKIP_INVALID True) to leave such "
    "annotations out"
)
_BOXES_ONLY = "train on boxes only with data.masks=False (YAML: MODEL.MASK_ON False)"
_BOXES_ONLY_ELSEWHERE = (
    "train a model of boxes only: --config-file configs/quickstart/mask_rcnn_coco_format.py "
    "data.masks=False"
)
_SHOWN_CLASSES = 5


_pending: list[tuple[int, str]] = []


_said: set[str] = set()


def warn(text: str) -> None:
    """Log a warning now or, where logging is not set up yet, with :func:`log_pending_warnings`."""
    _log(logging.WARNING, text)


def say(text: str) -> None:
    """Log something to know, now or as :func:`warn` does; the same text once per process."""
    if text not in _said:
        _said.add(text)
        _log(logging.INFO, text)


def _log(level: int, text: str) -> None:
    if logger.hasHandlers():
        logger.log(level, text)
    else:
        _pending.append((level, text))


def log_pending_warnings() -> None:
    """Log what was found while a config was read, before there was a log."""
    while _pending:
        logger.log(*_pending.pop(0))


def require_valid(
    json_file: str, inspection: Inspection, options: Options, masks_required: bool = False
) -> None:
    """Refuse a file whose annotations have a problem.

    Args:
        json_file: its name, for messages.
        inspection: what was found in it.
        options: ``skip_invalid``: annotations that can be left out are no reason to refuse it.
        masks_required: the model cannot do without masks.

    What is left out, and what may be meant in another way, causes warnings.

    Raises:
        UserError: with the first problem.
    """
    warnings = _crowd_warnings(json_file, inspection, options)
    for finding in concerning(inspection, options):
        said = f"{json_file}: {finding.what}"
        if finding.action == "warn":
            warnings.append(f"{said}: {finding.remedy}")
        elif finding.action == "leave out" and options.skip_invalid:
            warnings.append(f"{said}: left out, in training and in evaluation")
        else:
            for warning in warnings:
                warn(warning)
            something_is_left = len(finding.annotations) < inspection.objects.total()
            raise UserError(f"{said}: {_remedies(finding, masks_required, something_is_left)}")
    (name, count), *_ = Counter(inspection.files).most_common(1) or [("", 0)]
    if count > 1:
        warnings.append(
            f"{json_file}: {count} images have the file_name {name}: give each a file of its own "
            "where that is a mistake"
        )
    if inspection.repeated_names:
        names = ", ".join(inspection.repeated_names)
        warnings.append(
            f"{json_file}: several categories are named {names}: they stay classes of their own, "
            "and the later ones have their ids added to their names"
        )
    for warning in warnings:
        warn(warning)


def require_masks_kept(masks: bool, masks_required: bool) -> None:
    """Refuse to take masks away from a model that cannot do without.

    Raises:
        UserError: with the key.
    """
    if masks_required and not masks:
        raise UserError(
            "the model needs masks, and data.masks=False takes them away (YAML: MODEL.MASK_ON "
            "False): set it to True, or train a model of boxes only: --config-file "
            "configs/quickstart/mask_rcnn_coco_format.py data.masks=False"
        )


def _remedies(finding: Finding, masks_required: bool, something_is_left: bool) -> str:
    remedies = [finding.remedy]
    if finding.remedy == NO_MASK_REMEDY:
        remedies.append(_BOXES_ONLY_ELSEWHERE if masks_required else _BOXES_ONLY)
    if finding.action == "leave out" and something_is_left:
        remedies.append(_SKIP)
    return ", or ".join(remedies)


def _crowd_warnings(json_file: str, inspection: Inspection, options: Options) -> list[str]:
    warnings = []
    if inspection.ignored and not options.iscrowd_as_objects:
        one = inspection.ignored == 1
        warnings.append(
            f"{json_file}: {inspection.ignored} {'object is' if one else 'objects are'} marked "
            f"ignore=1 and {'is' if one else 'are'} taken as crowd (iscrowd=1)"
        )
    crowds = inspection.crowds
    if crowds and not options.iscrowd_as_objects:
        one = crowds.total() == 1
        warnings.append(
            f"{json_file}: {crowds.total()} of {inspection.objects.total()} objects "
            f"{'is' if one else 'are'} marked iscrowd=1 and {'is' if one else 'are'} not trained "
            f"on, nor counted in evaluation; {_by_class(crowds, inspection.objects)}: if "
            f"{'it is an ordinary object' if one else 'they are ordinary objects'}, add "
            "data.iscrowd_as_objects=True (YAML: DATASETS.COCO_FORMAT.ISCROWD_AS_OBJECTS True)"
        )
    return warnings


def _by_class(crowds: Counter[str], objects: Counter[str]) -> str:
    """E.g. ``dog: all 2, cat: 1 of 7``: first the classes of which the most is lost."""
    names = sorted(crowds, key=lambda name: (-crowds[name] / objects[name], -crowds[name]))
    parts = [
        f"{name}: all {objects[name]}"
        if crowds[name] == objects[name]
        else f"{name}: {crowds[name]} of {objects[name]}"
        for name in names[:_SHOWN_CLASSES]
    ]
    more = len(names) - _SHOWN_CLASSES
    return ", ".join(parts) + (f", and {more} classes more" if more > 0 else "")


def _counted(inspection: Inspection, options: Options) -> Counter[str]:
    """The objects of each class that are trained on, or counted in evaluation."""
    if options.iscrowd_as_objects:
        return inspection.objects
    return inspection.objects - inspection.crowds


def warn_of_nothing_to_evaluate(json_file: str, inspection: Inspection, options: Options) -> None:
    """Warn if a validation file has no object: every metric is NaN then."""
    if not _counted(inspection, options).total():
        warn(
            f"{json_file}: there is no object to evaluate, so every metric will be nan: add the "
            "annotations, or give another file"
        )


def warn_of_untrained_classes(json_file: str, inspection: Inspection, options: Options) -> None:
    """Warn if there are classes that a training file has no object of."""
    trained = _counted(inspection, options)
    names = [name for name in inspection.classes if not trained[name]]
    if not names:
        return
    shown = ", ".join(names[:_SHOWN_CLASSES]) + (", …" if len(names) > _SHOWN_CLASSES else "")
    warn(
        f"{json_file}: {len(names)} of {len(inspection.classes)} classes have no object to train "
        f"on: {shown}"
    )


def require_images(json_file: str, files: Sequence[str], image_root: str) -> None:
    """Refuse a data set whose image files are not all there; folders are listed, files not opened.

    Args:
        json_file: its name, for messages.
        files: the ``file_name`` entries in it.
        image_root: the folder that they are relative to.

    Raises:
        MissingFileError: with the first missing file, how many there are, and why that may be.
    """
    present: dict[str, set[str]] = {}
    missing = []
    for name in files:
        folder, base = os.path.split(os.path.join(image_root, name))
        if folder not in present:
            present[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if base not in present[folder]:
            missing.append(name)
    if missing:
        raise MissingFileError(
            f"{len(missing)} of the {len(files)} images of {json_file} are not in {image_root}, the"
            f" first is {missing[0]}: {_why_missing(missing[0], image_root)}"
        )


def _why_missing(name: str, image_root: str) -> str:
    """What to do about an image that is not there."""
    last = PureWindowsPath(name).name if "\\" in name else PurePosixPath(name).name
    there = bool(last) and os.path.isfile(os.path.join(image_root, last))
    strip = f"write {last} in place of it" + (" (that file is there)" if there else "")
    if PureWindowsPath(name).is_absolute() or PurePosixPath(name).is_absolute():
        return (
            "its file_name is an absolute path, so the folder of the images is not used; strip the "
            f"path in the file: {strip}"
        )
    if "\\" in name:
        return (
            "its file_name has backslashes, which separate folders on Windows only; replace them "
            f"by / in the file, or {strip}"
        )
    if last != name and there:
        return (
            f"its file_name has folders in front; {strip}, or give the folder that {name} lies in "
            "(data.*_images; YAML: DATASETS.COCO_FORMAT.*_IMAGES)"
        )
    return (
        "copy them there, correct the folder of the images (data.*_images; YAML: "
        "DATASETS.COCO_FORMAT.*_IMAGES), or take them out of the file"
    )
