"""Pascal VOC: one xml file per image with boxes, and polygons where a tool has added them.

Pixels are numbered from 1 there, and a box includes those at its borders: ``xmin`` 1 and ``xmax``
10 are ten pixels, from 0 to 10 here, as Detectron2's own reader takes them. Objects marked as
difficult are objects like any other.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from projects_ext.data.labels import image_size
from projects_ext.errors import UserError

from .files import ImageFinder, by_split
from .part import Objects, Part, Reader, Source, box_around, sorted_names

NAME = "Pascal VOC xml"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def looks_like(path: Path) -> bool:
    """Whether a file is xml with an annotation in it."""
    if path.suffix.lower() != ".xml":
        return False
    with path.open("rb") as file:
        return b"<annotation" in file.read(4096)


def read(path: Path, files: Sequence[Path], options: Reader) -> Source:
    """Read a folder of xml files; ``ImageSets/Main/train.txt`` and ``val.txt`` split them.

    Raises:
        UserError: a file is damaged, or its image is missing or of another size.
    """
    folder = path if path.is_dir() else path.parent
    finder = ImageFinder(folder, options.images)
    splits = _listed(files, folder) or by_split(files, folder)
    found = {split: _read_files(some, finder) for split, some in splits.items()}
    classes = list(options.classes) or sorted_names(part for part, _ in found.values())
    parts: dict[str, Part] = {}
    for split, (objects, difficult) in found.items():
        name = f"{path} ({split})" if len(splits) > 1 else str(path)
        remarks = (f"{name}: {difficult} objects are marked as difficult",) if difficult else ()
        parts[split] = objects.part(name, classes, remarks=remarks)
    return Source(str(path), NAME, parts["train"], parts.get("val"))


def _listed(files: Sequence[Path], folder: Path) -> dict[str, list[Path]]:
    """The files of each split by the lists of VOC; nothing where there is none for training.

    Raises:
        UserError: a list names images of which there is no xml.
    """
    by_name = {file.stem: file for file in files}
    found: dict[str, list[Path]] = {}
    for split in ("train", "val", "test"):
        if split == "test" and "val" in found:
            break  # it is not used; VOC 2012 keeps the annotations of its test images back
        lists = sorted(folder.glob(f"**/ImageSets/Main/{split}.txt"))
        pairs = [(name, one) for one in lists for name in _names_in(one)]
        missing = [(name, one) for name, one in pairs if name not in by_name]
        if missing:
            more = f", and {len(missing) - 1} more like it" if missing[1:] else ""
            raise UserError(
                f"{missing[0][1]} names {missing[0][0]!r}, of which there is no xml{more}: add the "
                "files, or take the lines out"
            )
        if pairs:
            found[split] = [by_name[name] for name, _ in pairs]
    if "val" not in found and "test" in found:
        found["val"] = found["test"]
    found.pop("test", None)
    return found if "train" in found else {}


def _names_in(listing: Path) -> list[str]:
    """One name per line; names may contain spaces."""
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{listing} is not in UTF-8: save it in that encoding") from error
    return [line.strip() for line in lines if line.strip()]


def _read_files(files: Sequence[Path], finder: ImageFinder) -> tuple[Objects, int]:
    """The objects of files, and how many are difficult."""
    with ThreadPoolExecutor(8) as pool:
        roots = list(pool.map(_root, files))
    found = [
        finder.find(file, (root.findtext("filename") or "").strip(), "filename")
        for file, root in zip(files, roots, strict=True)
    ]
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(image_size, found))
    objects, difficult = Objects(), 0
    for file, root, image, size in zip(files, roots, found, sizes, strict=True):
        _require_size(file, root, image, size)
        objects.add_image(image, size)
        for place, node in enumerate(root.iter("object")):
            _add_object(objects, node, f"{file}: object {place}")
            difficult += (node.findtext("difficult") or "0").strip() == "1"
    return objects, difficult


class _NoEntities(ElementTree.TreeBuilder):
    """Refuses document types, and with them entities: small files could grow without bound."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type")


def _root(file: Path) -> ElementTree.Element:
    try:
        parser = ElementTree.XMLParser(target=_NoEntities())
        parser.feed(file.read_bytes())
        root = parser.close()
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is no valid xml ({error}): write it again") from error
    if root.tag != "annotation":
        raise UserError(f"{file} is not VOC's: its first tag is {root.tag}; take it out")
    return root


def _require_size(file: Path, root: ElementTree.Element, image: str, size: tuple[int, int]) -> None:
    stated = [(root.findtext(f"size/{side}") or "0").strip() for side in ("height", "width")]
    if stated != ["0", "0"] and stated != [str(side) for side in size]:
        raise UserError(
            f"{file} is for an image of {stated[1]} x {stated[0]} (width x height), but {image} is "
            f"{size[1]} x {size[0]}: give the image that was annotated"
        )


def _add_object(objects: Objects, node: ElementTree.Element, where: str) -> None:
    name = (node.findtext("name") or "").strip()
    if not name:
        raise UserError(f"{where} has no name: give it one")
    polygon = _polygon(node, f"{where} ({name})")
    corners = [(node.findtext(f"bndbox/{key}") or "").strip() for key in _CORNERS]
    if polygon and not any(corners):
        objects.add(name, box_around([polygon]), [polygon])
        return
    x0, y0, x1, y1 = _numbers(corners, f"{where} ({name})", "bndbox of xmin, ymin, xmax and ymax")
    box = [x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1]
    objects.add(name, box, [polygon] if polygon else None)


def _polygon(node: ElementTree.Element, where: str) -> list[float]:
    """The coordinates of ``polygon`` with x1, y1, x2, …; empty without."""
    found = node.find("polygon")
    if found is None:
        return []
    texts: list[str] = []
    number = 1
    while found.find(f"x{number}") is not None:
        texts += [found.findtext(f"{axis}{number}") or "" for axis in "xy"]
        number += 1
    if len(texts) != len(found):
        raise UserError(f"{where} has a polygon of other tags than x1, y1, x2, …: correct them")
    return _numbers(texts, where, "polygon of numbers")


def _numbers(texts: Sequence[str], where: str, what: str) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError as error:
        raise UserError(f"{where} has no {what}: correct it") from error
