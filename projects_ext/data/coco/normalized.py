"""A COCO-format file as Detectron2 and its evaluators read it rightly."""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from projects_ext.checkpoint.writing import write_whole
from projects_ext.errors import UserError

from .findings import Finding
from .inspection import Inspection, class_names, fill_in_sizes
from .reading import CocoFile, Record, read_coco
from .shapes import Mask, measure


@dataclass(frozen=True)
class Options:
    """What is to be made of a file.

    Attributes:
        skip_invalid: leave out annotations that cannot be used.
        iscrowd_as_objects: take crowd regions as ordinary objects.
        masks: keep the masks.
        classes: the class names in the order that the model has them; None for the file's own.
    """

    skip_invalid: bool = False
    iscrowd_as_objects: bool = False
    masks: bool = True
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Part:
    """One of the files of a data set, its images' folder and what was found in it."""

    json_file: str
    image_root: str
    inspection: Inspection


def concerning(inspection: Inspection, options: Options) -> tuple[Finding, ...]:
    """The findings that matter for these options."""
    return tuple(f for f in inspection.findings if options.masks or not f.of_masks)


def normalized_file(parts: Sequence[Part], options: Options) -> str:
    """The file to read: the data set's own, or a normalized copy if something has to change.

    Copies are removed when the process ends. They keep the ids of images and categories of a single
    file, unless the classes are to have another order.

    Args:
        parts: without problems that nothing can be done about.
        options: the same for all parts.

    Returns:
        a path; the images of a copy of several files have absolute names.
    """
    if len(parts) == 1 and not _has_to_change(parts[0].inspection, options):
        return parts[0].json_file
    joined: Record = {"images": [], "annotations": [], "categories": []}
    for part in parts:
        _add(joined, _normalized(part, options), part if len(parts) > 1 else None)
    content = json.dumps(joined).encode()
    name = Path(parts[0].json_file).name
    try:
        path = copies_folder() / f"{len(os.listdir(copies_folder()))}_{name}"
        write_whole(path, lambda file: file.write(content))
    except OSError as error:
        raise UserError(
            f"the copy of {parts[0].json_file} that the run reads cannot be written to the folder "
            f"of temporary files ({error.strerror or error}): make room there ({len(content):,} "
            "bytes), or name another folder by the environment variable TMPDIR"
        ) from error
    return str(path)


def _has_to_change(inspection: Inspection, options: Options) -> bool:
    """Whether a copy of a file is needed."""
    skipped = any(f.action == "leave out" for f in concerning(inspection, options))
    useless_masks = not options.masks and any(f.of_masks for f in inspection.findings)
    recomputed = any(finding.of_area for finding in inspection.findings)
    return (
        not inspection.is_plain
        or skipped
        or useless_masks
        or recomputed
        or bool(inspection.repeated_names)
        or (options.iscrowd_as_objects and bool(inspection.crowds))
        or (options.classes is not None and options.classes != inspection.classes)
    )


def _normalized(part: Part, options: Options) -> Record:
    """The content of one file, with everything in it that changes."""
    file = read_coco(part.json_file)
    fill_in_sizes(file, part.image_root)
    for image in file.images:
        image["width"], image["height"] = int(image["width"]), int(image["height"])
    annotations = _kept(file, part.inspection, options)
    _fill_in(annotations, file, part.inspection, options)
    names = class_names(file.categories)
    if options.classes is None:
        file.content["categories"] = [{**c, "name": names[c["id"]]} for c in file.categories]
    else:
        ids = {name: number for number, name in enumerate(options.classes, start=1)}
        file.content["categories"] = [{"id": i, "name": name} for name, i in ids.items()]
        for annotation in annotations:
            annotation["category_id"] = ids[names[annotation["category_id"]]]
    file.content["annotations"] = annotations
    return file.content


def _kept(file: CocoFile, inspection: Inspection, options: Options) -> list[Record]:
    """The annotations that are not left out, without polygons that are."""
    out: set[int] = set()
    for finding in concerning(inspection, options):
        if finding.action != "leave out":
            continue
        polygons = finding.polygons or ((),) * len(finding.annotations)
        for place, wrong in zip(finding.annotations, polygons, strict=True):
            segmentation = file.annotations[place].get("segmentation") or []
            if wrong and len(wrong) < len(segmentation):
                right = [p for i, p in enumerate(segmentation) if i not in wrong]
                file.annotations[place]["segmentation"] = right
            else:
                out.add(place)
    return [a for place, a in enumerate(file.annotations) if place not in out]


def _fill_in(
    annotations: list[Record], file: CocoFile, inspection: Inspection, options: Options
) -> None:
    """Write what evaluators need into annotations, and what the options ask for."""
    if not options.masks:
        for annotation in annotations:
            annotation.pop("segmentation", None)
    for annotation in annotations:
        ignored = annotation.pop("ignore", 0)
        crowd = bool(annotation.get("iscrowd") or ignored) and not options.iscrowd_as_objects
        annotation["iscrowd"] = int(crowd)
    found = [finding for finding in inspection.findings if finding.of_area]
    wrong = {id(file.annotations[place]) for finding in found for place in finding.annotations}
    without = [a for a in annotations if "area" not in a or id(a) in wrong]
    sizes = {image["id"]: (image["height"], image["width"]) for image in file.images}
    masks = measure(
        [a.get("segmentation") for a in without], [sizes[a["image_id"]] for a in without]
    )
    for annotation, mask in zip(without, masks, strict=True):
        width, height = annotation["bbox"][2:]
        annotation["area"] = mask.area if isinstance(mask, Mask) else width * height
    if not all(annotation.get("id", 0) > 0 for annotation in annotations):
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number


def _add(joined: Record, content: Record, part: Part | None) -> None:
    """Put the content of a file into the joined one; with a part, as one of several files."""
    if part is None:
        joined.update(content)
        joined.setdefault("info", {})
        return
    joined["categories"] = content["categories"]
    new_ids: dict[Any, int] = {}
    for image in content["images"]:
        new_ids[image["id"]] = len(joined["images"]) + 1
        name = os.path.abspath(os.path.join(part.image_root, image["file_name"]))
        joined["images"].append({**image, "id": new_ids[image["id"]], "file_name": name})
    for annotation in content["annotations"]:
        numbered = {
            "id": len(joined["annotations"]) + 1,
            "image_id": new_ids[annotation["image_id"]],
        }
        joined["annotations"].append({**annotation, **numbered})


@lru_cache(maxsize=1)
def copies_folder() -> Path:
    """This process's folder of copies, which is removed when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="projects_ext_coco_"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not in a process that was forked off this one
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
