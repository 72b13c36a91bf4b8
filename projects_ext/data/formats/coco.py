"""COCO json: a file, or a folder with json files and images in one of the common layouts."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from projects_ext.data.coco.inspection import class_names, inspect
from projects_ext.data.coco.reading import read_coco
from projects_ext.errors import MissingFileError, UserError

from .files import SPLITS, split_of
from .part import Part, Reader, Source

NAME = "COCO json"
_LOOKED_AT = 200


def looks_like(raw: bytes) -> bool:
    """Whether the text of a json file names the lists of COCO's format, with boxes or none."""
    if not all(key in raw for key in (b'"images"', b'"annotations"', b'"categories"')):
        return False
    # Captions have no boxes; panoptic files name segments of label maps.
    return b'"segments_info"' not in raw and (b'"bbox"' in raw or b'"image_id"' not in raw)


def read(path: Path, files: Sequence[Path], options: Reader) -> Source:
    """Read one file, or the files of a folder.

    Args:
        path: as it was given, a file or a folder.
        files: the annotation files in it.
        options: the folder of the images, if it was given.

    Raises:
        UserError: several files could be meant, or one of them is not in COCO format.
        MissingFileError: images are missing.
    """
    if path.is_file():
        return Source(str(path), NAME, _part(path, path.parent, options))
    chosen = _by_split(files, path)
    parts = {split: _part(file, path, options) for split, file in chosen.items()}
    return Source(str(path), NAME, parts["train"], parts.get("val"))


def _by_split(files: Sequence[Path], folder: Path) -> dict[str, Path]:
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(split_of(file, folder), []).append(file)
    chosen = {split: _one(several, folder) for split, several in found.items()}
    if len(chosen) == 1:
        return {"train": next(iter(chosen.values()))}
    if "train" not in chosen:
        chosen["train"] = chosen.pop("", chosen.get("val", files[0]))
    elif "" in chosen:
        _one([chosen["train"], chosen[""]], folder)
    if "val" not in chosen and "test" in chosen:
        chosen["val"] = chosen["test"]
    return {split: chosen[split] for split in ("train", "val") if split in chosen}


def _one(files: Sequence[Path], folder: Path) -> Path:
    """The file that is meant: COCO's own folder has several tasks' files side by side."""
    named = [file for file in files if file.name.startswith("instances")]
    candidates = named if len(named) == 1 else files
    if len(candidates) > 1:
        names = ", ".join(str(file.relative_to(folder)) for file in candidates[:4])
        raise UserError(
            f"{folder} holds {len(candidates)} files in COCO format that could be meant ({names}): "
            "give one by data=FILE, or several to be joined by data=[FILE,FILE]"
        )
    return candidates[0]


def _part(file: Path, folder: Path, options: Reader) -> Part:
    content = read_coco(str(file))
    names = [image["file_name"] for image in content.images]
    root = _image_root(file, folder, names, options)
    inspect(str(file), root)  # says which image has no size that can be read
    classes = class_names(content.categories)
    images = [
        {**image, "file_name": os.path.abspath(os.path.join(root, image["file_name"]))}
        for image in content.images
    ]
    return Part(
        str(file),
        images,
        content.annotations,
        tuple(classes[identity] for identity in sorted(classes)),
        content.categories,
        json_file=str(file),
        image_root=root,
    )


def _image_root(file: Path, folder: Path, names: Sequence[str], options: Reader) -> str:
    """The folder that the names of the images are relative to.

    Raises:
        MissingFileError: none of the usual places has all images.
    """
    some = names[:: max(1, len(names) // _LOOKED_AT)]

    def present(root: Path, among: Sequence[str]) -> int:
        return sum((root / name).is_file() for name in among)

    roots = [Path(options.images)] if options.images else [*_candidates(file, folder)]
    roots = [root for root in dict.fromkeys(roots) if root.is_dir()]
    best = max(roots, key=lambda root: present(root, some), default=file.parent)
    missing = [name for name in names if not (best / name).is_file()]
    if missing:
        where = options.images or f"{best} or another folder next to it"
        raise MissingFileError(
            f"{len(missing)} of the {len(names)} images of {file} are not in {where}, the first is "
            f"{missing[0]}: copy them there, correct the file_name entries, or give the folder "
            "that these are relative to by data.images=FOLDER"
        )
    return str(best)


def _candidates(file: Path, folder: Path) -> Iterator[Path]:
    """Where the images of a file may lie, the likeliest place first."""
    words = [word for word, split in SPLITS.items() if split == split_of(file, folder)]
    stems = [file.stem, file.stem.rpartition("_")[2], *words]
    for base in dict.fromkeys((file.parent, file.parent.parent, folder)):
        yield base
        for stem in stems:
            yield base / stem
            yield base / stem / "images"
            yield base / "images" / stem
        yield base / "images"
