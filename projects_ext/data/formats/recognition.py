"""Which format a file or folder is in, by its content."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from projects_ext.errors import MissingFileError, UserError

from . import coco, label_maps, labelme, voc, yolo
from .files import files_below
from .part import Reader, Source

_MANY = 50
"""Of so many json files in one folder, the first few tell what they are."""

Read = Callable[[Path, Sequence[Path], Reader], Source]

READERS: dict[str, tuple[str, Read]] = {
    "coco": (coco.NAME, coco.read),
    "labelme": (labelme.NAME, labelme.read),
    "yolo": (yolo.NAME, yolo.read),
    "voc": (voc.NAME, voc.read),
    "label_maps": (label_maps.NAME, label_maps.read),
}
"""``data.format`` -> what the format is called, and its reader."""


def read_source(path: str, of_maps: bool, form: str = "", options: Reader | None = None) -> Source:
    """Read a data set of any known format.

    Args:
        path: a file or a folder.
        of_maps: whether label maps are wanted, else objects.
        form: a key of :data:`READERS`; "" to recognise it.
        options: see :class:`Reader`.

    Raises:
        MissingFileError: there is nothing.
        UserError: the format cannot be told, or something in the data is wrong.
    """
    place = Path(path)
    if not path or not place.exists():
        raise MissingFileError(f"there is no file or folder {path or '(empty)'}: correct data=")
    if form and form not in READERS:
        raise UserError(f"data.format is {form!r}: it is {', '.join(READERS)}, or empty")
    options = options or Reader()
    found = _found(place, options)
    fitting = {
        name: files
        for name, files in found.items()
        if (name == "label_maps") is of_maps and (not form or name == form)
    }
    if not fitting:
        raise _nothing(path, found, of_maps, form)
    if len(fitting) > 1:
        names = " and ".join(f"{READERS[name][0]} ({files[0]})" for name, files in fitting.items())
        raise UserError(
            f"{path} holds {names}: say which is meant by data.format={' or '.join(fitting)}, or "
            "give a folder with one of them"
        )
    name, files = next(iter(fitting.items()))
    return READERS[name][1](place, files, options)


def _nothing(path: str, found: dict[str, list[Path]], of_maps: bool, form: str) -> UserError:
    wanted = [name for name in READERS if (name == "label_maps") is of_maps]
    names = ", ".join(READERS[name][0] for name in ([form] if form in wanted else wanted))
    damaged = (
        [file for file in _json_files_of(Path(path)) if _is_damaged(file)] if not found else []
    )
    if damaged:
        return UserError(f"{damaged[0]} is not valid json: write it again")
    if not found:
        return UserError(f"{path} holds no data set in a known format ({names}): correct data=")
    there = " and ".join(f"{READERS[name][0]} ({files[0]})" for name, files in found.items())
    if form and form not in found:
        return UserError(f"{path} holds {there}, and data.format is {form}: leave data.format out")
    learns = "label maps" if of_maps else "objects"
    return UserError(
        f"the model learns {learns} ({names}), and {path} holds {there}: give other data, or the "
        f"config of a model that learns {'objects' if of_maps else 'label maps'}"
    )


def _json_files_of(place: Path) -> Sequence[Path]:
    files = [place] if place.is_file() else files_below(place, (".json",))
    return [file for file in files if file.suffix.lower() == ".json"]


def _found(place: Path, options: Reader) -> dict[str, list[Path]]:
    """The annotation files of each format, of label maps their folders."""
    suffixes = (".json", ".yaml", ".yml", ".xml", *yolo.NAME_FILES)
    files = [place] if place.is_file() else files_below(place, suffixes)
    found = _json_files(files)
    described = [file for file in files if yolo.looks_like(file)]
    names = [file for file in files if file.name in yolo.NAME_FILES]
    if described or (names and yolo.has_labels(place)):
        found["yolo"] = described or names
    xml = [file for file in files if file.suffix.lower() == ".xml"]
    if xml and voc.looks_like(xml[0]):
        found["voc"] = [file for file in xml if voc.looks_like(file)]
    if place.is_dir():
        folders = label_maps.label_folders(place)
        if options.labels and not folders:
            folders = [place / options.labels]
        if folders:
            found["label_maps"] = folders
    return found


def _json_files(files: Sequence[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    folders: dict[Path, list[Path]] = {}
    for file in files:
        if file.suffix.lower() == ".json":
            folders.setdefault(file.parent, []).append(file)
    for several in folders.values():
        looked_at = several[:3] if len(several) > _MANY else several
        kinds = {file: _json_kind(file) for file in looked_at}
        if len(several) > _MANY and set(kinds.values()) == {"labelme"}:
            found.setdefault("labelme", []).extend(several)
            continue
        unknown = []
        for file in several:
            kind = kinds.get(file) or _json_kind(file)
            if kind:
                found.setdefault(kind, []).append(file)
            else:
                unknown.append(file)
        # Next to labelme's files a damaged one is one of them, which its reader will say.
        if any(file.parent == several[0].parent for file in found.get("labelme", ())):
            found["labelme"].extend(filter(_is_damaged, unknown))
    return {kind: sorted(several) for kind, several in found.items()}


def _is_damaged(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return True
    return False


def _json_kind(file: Path) -> str:
    raw = file.read_bytes()
    if labelme.looks_like(raw):
        return "labelme"
    return "coco" if coco.looks_like(raw) else ""
