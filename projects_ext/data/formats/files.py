"""Files of a data set's folder: which split they belong to, and where images are."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from projects_ext.data.label_folders import IMAGE_SUFFIXES
from projects_ext.errors import MissingFileError, UserError

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
"""What splits are called; ``test`` is taken for validation where nothing else is."""


def split_of(path: Path, folder: Path) -> str:
    """``train``, ``val``, ``test`` or "" by the file's name and the folders that it lies in."""
    try:
        parts = path.relative_to(folder).with_suffix("").parts
    except ValueError:
        parts = (path.stem,)
    for part in reversed(parts):
        for word in re.findall(r"[a-z]+", part.lower()):
            if word in SPLITS or word == "test":
                return SPLITS.get(word, "test")
    return ""


def by_split(files: Iterable[Path], folder: Path) -> dict[str, list[Path]]:
    """The files of each split, by the folders that they lie in.

    Returns:
        ``{"train": [...], "val": [...]}``; without a validation part all files are under ``train``.

    Raises:
        UserError: some files belong to a split and others to none.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(files):
        found[split_of(file.parent / "x", folder)].append(file)
    if found.keys() == {"train", "test"} or found.keys() == {"", "test"}:
        found["val"] = found.pop("test")
    if "" in found and len(found) > 1:
        raise UserError(
            f"{found[''][0]} lies outside the folders of training and validation in {folder}: move "
            "it into one of them, or give the folder to train on by data=FOLDER and that to "
            "validate on by data.val=FOLDER"
        )
    if "train" not in found:
        return {"train": sorted(file for files in found.values() for file in files)}
    return {split: files for split, files in found.items() if split != "test"}


def files_below(folder: Path, suffixes: Sequence[str], depth: int = 4) -> list[Path]:
    """The files below a folder with one of the suffixes, sorted; hidden ones are left out."""
    found = []
    for place, folders, names in os.walk(folder):
        levels = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and levels < depth)
        found += [
            Path(place, name)
            for name in names
            if name.lower().endswith(tuple(suffixes)) and not name.startswith(".")
        ]
    return sorted(found)


class ImageFinder:
    """Finds the image that an annotation file belongs to.

    Args:
        folder: of the data set; looked through once, when an image is not where it should be.
        images: a folder to look in first.
    """

    def __init__(self, folder: Path, images: str = "") -> None:
        self.folder, self.images = folder, Path(images) if images else None
        self._by_stem: dict[str, list[Path]] | None = None

    def find(self, annotation: Path, name: str, key: str) -> str:
        """The absolute path of an image.

        Args:
            annotation: the file that tells of it.
            name: of the image, as it is written there; may have folders of another machine.
            key: what ``name`` is called there.

        Raises:
            MissingFileError: there is none.
            UserError: several could be meant.
        """
        plain = name.replace("\\", "/")
        base = PurePosixPath(plain).name
        places = [annotation.parent / plain, annotation.parent / base]
        if self.images is not None:
            places = [self.images / plain, self.images / base, *places]
        for place in places:
            if base and place.is_file():
                return str(place.resolve())
        found = self._named(base or annotation.stem) or self._named(annotation.stem)
        if not found:
            raise MissingFileError(
                f"{annotation}: its image {base or annotation.stem} ({key}) is not in "
                f"{self.folder}: copy it next to the annotation, or give the folder of the images "
                "by data.images=FOLDER"
            )
        nearest = _nearest(found, annotation)
        if len(nearest) > 1:
            raise UserError(
                f"{annotation}: its image can be {nearest[0]} or {nearest[1]}: remove one, or give "
                "the folder of the images by data.images=FOLDER"
            )
        return str(nearest[0].resolve())

    def _named(self, name: str) -> list[Path]:
        """Those of this name with its suffix, or else those of this stem."""
        if self._by_stem is None:
            self._by_stem = defaultdict(list)
            roots = [self.images] if self.images is not None else [self.folder]
            if self.images is None and not files_below(self.folder, tuple(IMAGE_SUFFIXES)):
                roots = [self.folder.parent]
            for root in roots:
                for path in files_below(root, tuple(IMAGE_SUFFIXES)):
                    self._by_stem[path.stem].append(path)
        same_stem = self._by_stem.get(PurePosixPath(name).stem, [])
        return [path for path in same_stem if path.name == name] or (
            same_stem if PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES else []
        )


def _nearest(paths: Sequence[Path], annotation: Path) -> list[Path]:
    """Those that share the most with the annotation's path: its split, then its folders.

    Of several, those in a folder that is called after images are meant.
    """

    def closeness(path: Path) -> tuple[int, int, bool]:
        ours, theirs = annotation.resolve().parent.parts, path.resolve().parent.parts
        common = len([a for a, b in zip(ours, theirs, strict=False) if a == b])
        words = {word for word in ours if word in SPLITS or word == "test"}
        return len(words & set(theirs)), common, "image" in path.parent.name.lower()

    best = max(map(closeness, paths))
    return [path for path in paths if closeness(path) == best]
