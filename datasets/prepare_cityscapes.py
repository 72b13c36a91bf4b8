"""Cityscapes for semantic segmentation: check the download, draw the label maps of training ids.

    python datasets/prepare_cityscapes.py [leftImg8bit_trainvaltest.zip gtFine_trainvaltest.zip]

Archives are unpacked if they are given; otherwise cityscapes/leftImg8bit and cityscapes/gtFine have
to lie in the folder of the data sets ($DETECTRON2_DATASETS) already. From the polygons of each
picture, *_gtFine_labelTrainIds.png is drawn by the data set's own package (`pip install
cityscapesscripts`): 0 to 18, and 255 for what is not evaluated. It can be run again at any time:
what is done is verified and left alone.
"""

import json
from pathlib import Path

import numpy as np

from detectron2.data import MetadataCatalog
from projects_ext.data.archives import unpack
from projects_ext.data.preparation import Item, Part, arguments, prepare, told_in_one_sentence
from projects_ext.errors import MissingFileError
from projects_ext.evaluation.cityscapes import cityscapes_module

FOLDER = "cityscapes"
IMAGE_SUFFIX, SOURCE_SUFFIX = "_leftImg8bit.png", "_gtFine_polygons.json"
# fmt: off
OFFICIAL_CITIES = {
    "train": {
        "aachen": 174, "bochum": 96, "bremen": 316, "cologne": 154, "darmstadt": 85,
        "dusseldorf": 221, "erfurt": 109, "hamburg": 248, "hanover": 196, "jena": 119,
        "krefeld": 99, "monchengladbach": 94, "strasbourg": 365, "stuttgart": 196,
        "tubingen": 144, "ulm": 95, "weimar": 142, "zurich": 122,
    },
    "val": {"frankfurt": 267, "lindau": 59, "munster": 174},
}
# fmt: on
OFFICIAL_COUNTS = {part: sum(cities.values()) for part, cities in OFFICIAL_CITIES.items()}


def place(name: str) -> str | None:
    """Where a file of the archives belongs; None if it is not needed."""
    wanted = name.startswith(("leftImg8bit/", "gtFine/")) and name.endswith((".png", ".json"))
    return f"{FOLDER}/{name}" if wanted else None


def convert(path: Path) -> np.ndarray:
    """Training ids (H, W), drawn from a file of polygons.

    Raises:
        ValueError: the file is no json, or has a label that Cityscapes does not have.
        KeyError: it is not in the format.
    """
    annotation = cityscapes_module("helpers.annotation").Annotation()
    text = path.read_text()
    known = cityscapes_module("helpers.labels").name2label
    for thing in json.loads(text)["objects"]:
        name = thing["label"]
        # Where objects cannot be told apart, a group of them is one polygon.
        if name not in known and name.removesuffix("group") not in known:
            raise ValueError(f"it has the unknown label {name!r}")
    annotation.fromJsonText(text)
    draw = cityscapes_module("preparation.json2labelImg").createLabelImage
    return np.array(draw(annotation, "trainIds"), dtype=np.uint8)


def find_parts(root: Path, any_count: bool = False) -> list[Part]:
    """Training and validation part of the tree below the folder of the data sets.

    Without ``any_count``, cities with too few pictures are named.

    Raises:
        MissingFileError: there is no such tree.
    """
    base = root / FOLDER
    for folder, archive in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine")):
        if not (base / folder).is_dir():
            raise MissingFileError(
                f"no folder {base / folder}: give the path of {archive}_trainvaltest.zip, or "
                f"unpack it in {base}"
            )
    parts = []
    for part, cities in OFFICIAL_CITIES.items():
        images, sources = base / "leftImg8bit" / part, base / "gtFine" / part
        stems = {
            path.relative_to(folder).as_posix().removesuffix(suffix)
            for folder, suffix in ((images, IMAGE_SUFFIX), (sources, SOURCE_SUFFIX))
            for path in folder.glob(f"*/*{suffix}")
        }
        items = [_item(images, sources, stem) for stem in sorted(stems)]
        found = {city: sum(s.startswith(f"{city}/") for s in stems) for city in cities}
        problems = [
            f"{images / city}: {found[city]} of {count} pictures"
            for city, count in cities.items()
            if found[city] < count and not any_count
        ]
        parts.append(Part(part, items, OFFICIAL_COUNTS[part], problems))
    return parts


def _item(images: Path, sources: Path, stem: str) -> Item:
    image = images / f"{stem}{IMAGE_SUFFIX}"
    # The official evaluation compares with these.
    companions = tuple(
        sources / f"{stem}_gtFine_{kind}.png" for kind in ("labelIds", "instanceIds")
    )
    source = sources / f"{stem}{SOURCE_SUFFIX}"
    return Item(image, source, sources / f"{stem}_gtFine_labelTrainIds.png", companions)


def main() -> None:
    """Parse the command line, unpack, draw."""
    given = arguments(__doc__ or "", "leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip")
    with told_in_one_sentence():
        cityscapes_module("preparation.json2labelImg")
        for archive in given.archives:
            unpack(archive, given.root, place)
        prepare(
            find_parts(given.root, given.any_count),
            MetadataCatalog.get("cityscapes_fine_sem_seg_val").stuff_classes,
            convert,
            problems_file=given.root / FOLDER / "problems.txt",
            workers=given.workers,
            any_count=given.any_count,
        )


if __name__ == "__main__":
    main()
