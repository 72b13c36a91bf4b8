"""Which format a file or folder is in, by its content."""

from collections.abc import Callable, Sequence
from pathlib import Path

from projects_ext.errors import MissingFileError, UserError

from . import coco, labelme
from .files import files_below
from .part import Reader, Source

_MANY = 50
"""Of so many json files in one folder, the first few tell what they are."""

Read = Callable[[Path, Sequence[Path], Reader], Source]

READERS: dict[str, tuple[str, Read]] = {
    "coco": (coco.NAME, coco.read),
    "labelme": (labelme.NAME, labelme.read),
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
    found = {name: files for name, files in _found(place).items() if not form or name == form}
    if not found:
        wanted = READERS[form][0] if form else ", ".join(name for name, _ in READERS.values())
        raise UserError(f"{path} holds no data set in a known format ({wanted}): correct data=")
    if len(found) > 1:
        names = " and ".join(f"{READERS[name][0]} ({files[0]})" for name, files in found.items())
        raise UserError(
            f"{path} holds {names}: say which is meant by data.format={' or '.join(found)}, or "
            "give a folder with one of them"
        )
    name, files = next(iter(found.items()))
    return READERS[name][1](place, files, options or Reader())


def _found(place: Path) -> dict[str, list[Path]]:
    """The annotation files of each format."""
    files = [place] if place.is_file() else files_below(place, (".json",))
    return _json_files(files)


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
        for file in several:
            kind = kinds.get(file) or _json_kind(file)
            if kind:
                found.setdefault(kind, []).append(file)
    return {kind: sorted(several) for kind, several in found.items()}


def _json_kind(file: Path) -> str:
    raw = file.read_bytes()
    if labelme.looks_like(raw):
        return "labelme"
    return "coco" if coco.looks_like(raw) else ""
