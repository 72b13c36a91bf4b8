"""Sources of any format as one data set of training and validation, checked."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from projects_ext.checkpoint.writing import write_whole
from projects_ext.data.coco import Options, inspect, normalized_file
from projects_ext.data.coco.normalized import Part as FileToRead
from projects_ext.data.coco.normalized import copies_folder
from projects_ext.data.formats import Part, Source, read_source
from projects_ext.data.formats.files import files_below
from projects_ext.data.formats.part import Reader, Record
from projects_ext.data.label_folders import load_classes
from projects_ext.data.validate import require_masks_kept, require_valid, say, warn
from projects_ext.errors import MissingFileError, UserError

from .overview import describe
from .split import shared_files, split_off


@dataclass(frozen=True)
class Wanted:
    """What is read, and how; equal ones are read once.

    Attributes:
        sources: files or folders that are joined.
        val: those to validate on; none: what the sources name as such, or split off.
        of_maps: label maps are wanted, else objects.
        form: see :func:`projects_ext.data.formats.read_source`.
        images, labels: folders, where they cannot be found.
        classes: the names in the order of the model; none: those of the data.
        group, val_fraction, seed: see :func:`projects_ext.data.own.split.split_off`.
        options: what is made of objects that cannot be used.
        masks_required: the model cannot do without masks.
    """

    sources: tuple[str, ...]
    val: tuple[str, ...] = ()
    of_maps: bool = False
    form: str = ""
    images: str = ""
    labels: str = ""
    classes: tuple[str, ...] | str = ()
    group: str = ""
    val_fraction: float = 0.2
    seed: int = 0
    options: Options = field(default_factory=Options)
    masks_required: bool = False


@dataclass(frozen=True)
class OwnData:
    """A data set that is ready to be registered.

    Attributes:
        name: of it, for messages.
        classes: the names in the order of the model.
        train, val: the records of the images, with absolute names; those of label maps with
            ``sem_seg_file_name``.
        files: of objects the two parts in COCO's format, which last as long as this process; of
            label maps empty.
        overview: format, classes, counts and split, in a few lines.
    """

    name: str
    classes: tuple[str, ...]
    train: Sequence[Record]
    val: Sequence[Record]
    files: tuple[str, ...]
    overview: str

    @property
    def found(self) -> str:
        """How many images each part has, and a digest of their names: another split differs."""
        names = [
            sorted(Path(image["file_name"]).name for image in part)
            for part in (self.train, self.val)
        ]
        digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:12]
        return f"{len(names[0])} + {len(names[1])} images, {digest}"


_known: dict[tuple[Wanted, tuple[Any, ...]], OwnData] = {}
"""What has been read in this process, by what was wanted and the state of the files."""


def own_data(wanted: Wanted) -> OwnData:
    """Read, check, join and split; a second call costs nothing while no file has changed.

    Raises:
        UserError: something about the data is wrong; see the checks of each step.
    """
    paths = (*wanted.sources, *wanted.val, wanted.images, wanted.labels)
    state = tuple(map(_state, paths))
    if (wanted, state) not in _known:
        data = _own_data(wanted)
        # As a config asks for them that these data have been written into.
        for equal in (wanted, replace(wanted, classes=data.classes)):
            _known[equal, state] = data
    return _known[wanted, state]


def _state(path: str) -> tuple[Any, ...]:
    """Changes with the annotations of a file or folder."""
    place = Path(path)
    if not path or not place.exists():
        return ()
    files = [place] if place.is_file() else files_below(place, (".json", ".xml", ".txt", ".yaml"))
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def _own_data(wanted: Wanted) -> OwnData:
    if not wanted.sources:
        raise UserError("there is no data set: give its file or folder by data=PATH")
    require_masks_kept(wanted.options.masks, wanted.masks_required)
    _require_given_places(wanted)
    sources = [_read(path, wanted) for path in wanted.sources]
    held_out = [_validation_part(_read(path, wanted)) for path in wanted.val]
    classes = _classes(sources, wanted)
    trained: list[Record] = []
    validated = [_checked(part, wanted, classes, known=True) for part in held_out]
    how = f"given by data.val={','.join(wanted.val)}"
    for source in sources:
        content = _checked(source.train, wanted, classes)
        if not wanted.val and source.val is not None:
            validated.append(_checked(source.val, wanted, classes, known=True))
            how = f"{source.val.name}"
        elif not wanted.val:
            content, other = _split(content, wanted)
            validated.append(other)
            how = (
                f"split off with seed {wanted.seed} (data.split_seed); equal images, frames of a "
                "video and tiles of an image stay together (data.group)"
            )
        trained.append(content)
    name = " + ".join(wanted.sources)
    train, val = _joined(trained, classes), _joined(validated, classes)
    if set(wanted.val) != set(wanted.sources):
        _warn_of_shared_images(train, val)
    overview = describe(sources, classes, train, val, how)
    say(overview)
    # Objects can be many: what is kept of them is in files.
    parts = {} if wanted.of_maps else {"train": train, "val": val}
    files = tuple(write_content(content, part) for part, content in parts.items())
    return OwnData(name, classes, train["images"], val["images"], files, overview)


def _require_given_places(wanted: Wanted) -> None:
    for path in wanted.val:
        if not Path(path).exists():
            raise MissingFileError(f"there is no file or folder {path}: correct data.val=")
    folders = [Path(wanted.images), *(Path(source, wanted.images) for source in wanted.sources)]
    if wanted.images and not any(folder.is_dir() for folder in folders):
        raise MissingFileError(f"there is no folder {wanted.images}: correct data.images=")


def _read(path: str, wanted: Wanted) -> Source:
    given = _given_classes(wanted) if wanted.of_maps else ()
    reader = Reader(wanted.images, wanted.labels, given)
    return read_source(path, wanted.of_maps, wanted.form, reader)


def _given_classes(wanted: Wanted) -> tuple[str, ...]:
    names = wanted.classes
    return tuple(load_classes(names if isinstance(names, str) else list(names))) if names else ()


def _validation_part(source: Source) -> Part:
    return source.val or source.train


def _classes(sources: Sequence[Source], wanted: Wanted) -> tuple[str, ...]:
    """The classes of all training parts, in the order in which they are first named.

    Raises:
        UserError: label maps number them in different ways.
    """
    lists = [source.train.classes for source in sources]
    if wanted.classes:
        return _given_classes(wanted)
    joined = tuple(dict.fromkeys(name for classes in lists for name in classes))
    for source, classes in zip(sources, lists, strict=True):
        if wanted.of_maps and classes != lists[0]:
            raise UserError(
                f"{sources[0].path} and {source.path} cannot be joined: their label maps have "
                "other classes, or in another order: write the maps with the same numbers"
            )
        absent = [name for name in joined if name not in classes]
        if absent:
            warn(
                f"{source.path} has no {', '.join(absent[:5])}{', …' if absent[5:] else ''}, which "
                "another of the joined data sets has: such objects in its images count as "
                "background"
            )
    return joined


def _checked(part: Part, wanted: Wanted, classes: Sequence[str], known: bool = False) -> Record:
    """The content of a part with the model's classes and without what cannot be used.

    Raises:
        UserError: an annotation cannot be used, or a class is unknown.
    """
    if wanted.of_maps:
        return {"images": list(part.images), "annotations": [], "categories": []}
    unknown = [name for name in part.classes if name not in classes]
    if unknown:
        raise UserError(
            f"{part.name} has the class {unknown[0]!r}, which "
            f"{'the training data do' if known else 'data.classes does'} not have (known: "
            f"{', '.join(map(repr, classes[:5]))}{', …' if len(classes) > 5 else ''}): give both "
            "the same names, or take the class and its objects out"
        )
    for number, sentence in enumerate(part.unusable):
        more = len(part.unusable) - 1
        if not wanted.options.skip_invalid:
            raise UserError(
                f"{sentence}{f', and {more} more like it' if more else ''}: draw it as a polygon, "
                "or add data.skip_invalid=True to leave such shapes out"
            )
        if number == 0:
            warn(f"{sentence}{f', and {more} more like it' if more else ''}: left out")
    file, root = _file_of(part)
    found = inspect(file, root)
    require_valid(part.name, found, wanted.options, wanted.masks_required)
    options = replace(wanted.options, classes=tuple(classes))
    normalized = normalized_file([FileToRead(file, root, found)], options)
    content = json.loads(Path(normalized).read_bytes())
    for image in content["images"]:
        image["file_name"] = os.path.abspath(os.path.join(root, image["file_name"]))
    return content


def _file_of(part: Part) -> tuple[str, str]:
    """A json file with the content of a part, and the folder that its names start from."""
    if part.json_file:
        return part.json_file, part.image_root
    content = {
        "images": part.images,
        "annotations": part.annotations,
        "categories": part.categories,
    }
    return write_content(content, "read"), "/"


def write_content(content: Record, name: str) -> str:
    """Write a content in COCO's format into this process's folder of copies."""
    folder = copies_folder()
    path = folder / f"{len(os.listdir(folder))}_{name}.json"
    raw = json.dumps(content).encode()
    write_whole(path, lambda file: file.write(raw))
    return str(path)


def _split(content: Record, wanted: Wanted) -> tuple[Record, Record]:
    files = [image["file_name"] for image in content["images"]]
    held_out = split_off(files, wanted.val_fraction, wanted.seed, wanted.group)
    parts = []
    for of_val in (False, True):
        pairs = zip(content["images"], held_out, strict=True)
        images = [image for image, out in pairs if out is of_val]
        ids = {image["id"] for image in images}
        objects = [a for a in content["annotations"] if a["image_id"] in ids]
        parts.append({**content, "images": images, "annotations": objects})
    return parts[0], parts[1]


def _joined(contents: Sequence[Record], classes: Sequence[str]) -> Record:
    """Several contents as one; all ids are numbered anew, those of classes by name."""
    if len(contents) == 1:
        return contents[0]
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    joined: Record = {"info": {}, "images": [], "annotations": []}
    joined["categories"] = [{"id": number, "name": name} for name, number in numbers.items()]
    for content in contents:
        new_ids = {}
        class_ids = {one["id"]: numbers[one["name"]] for one in content["categories"]}
        for image in content["images"]:
            new_ids[image["id"]] = len(joined["images"]) + 1
            joined["images"].append({**image, "id": new_ids[image["id"]]})
        for annotation in content["annotations"]:
            number, image_id = len(joined["annotations"]) + 1, new_ids[annotation["image_id"]]
            ids = {"category_id": class_ids[annotation["category_id"]], "image_id": image_id}
            joined["annotations"].append({**annotation, "id": number, **ids})
    return joined


def _warn_of_shared_images(train: Record, val: Record) -> None:
    """A validation part that a tool has split off may hold images that are trained on."""
    files = [[image["file_name"] for image in part["images"]] for part in (train, val)]
    shared = shared_files(*files)
    if shared:
        first, second = shared[0]
        are = "is" if len(shared) == 1 else "are"
        warn(
            f"{len(shared)} of the {len(files[1])} validation images {are} trained on as well, the "
            f"first is {second} (the same as {first}): metrics will be too good; take them out of "
            "one of the parts"
        )
