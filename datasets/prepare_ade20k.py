"""ADE20K scene parsing (150 classes) for Detectron2: check the download, convert the labels.

    python datasets/prepare_ade20k.py [ADEChallengeData2016.zip] [--root $DETECTRON2_DATASETS]

The archive is unpacked if it is given; otherwise ADEChallengeData2016/ has to lie in the folder of
the data sets already. The official label maps hold 1 to 150 for the classes and 0 for "other"; the
converted ones, in annotations_detectron2/, 0 to 149 and 255. It can be run again at any time: what
is done is verified and left alone.
"""

from pathlib import Path

import numpy as np

from detectron2.data import MetadataCatalog
from projects_ext.data.archives import unpack
from projects_ext.data.labels import IGNORE_LABEL, read_label_map
from projects_ext.data.preparation import Item, Part, arguments, prepare, told_in_one_sentence
from projects_ext.errors import MissingFileError

FOLDER = "ADEChallengeData2016"
OFFICIAL_COUNTS = {"train": 20210, "val": 2000}
FOLDERS = {"train": "training", "val": "validation"}


def place(name: str) -> str | None:
    """Where a file of the archive belongs; None if it is not needed."""
    start = (f"{FOLDER}/images/", f"{FOLDER}/annotations/")
    return name if name.startswith(start) else None


def convert(path: Path) -> np.ndarray:
    """An official label map with the classes from 0, and 255 for "other"."""
    labels = read_label_map(path)
    if labels.max(initial=0) > 150:
        raise ValueError(f"it has the label {labels.max()}, but the classes are 1 to 150")
    return np.where(labels == 0, IGNORE_LABEL, labels - 1).astype(np.uint8)


def find_parts(root: Path, any_count: bool = False) -> list[Part]:
    """Both parts of the tree below the folder of the data sets.

    Images are numbered from 1 on: without ``any_count`` every number has to be there.

    Raises:
        MissingFileError: there is no such tree.
    """
    base = root / FOLDER
    if not base.is_dir():
        raise MissingFileError(
            f"no folder {base}: give the path of ADEChallengeData2016.zip, or unpack it in {root}"
        )
    parts = []
    for part, count in OFFICIAL_COUNTS.items():
        folder = FOLDERS[part]
        images, sources = base / "images" / folder, base / "annotations" / folder
        stems = {path.stem for path in (*images.glob("*.jpg"), *sources.glob("*.png"))}
        if not any_count:
            stems |= {f"ADE_{part}_{number:08d}" for number in range(1, count + 1)}
        target = base / "annotations_detectron2" / folder
        items = [
            Item(images / f"{stem}.jpg", sources / f"{stem}.png", target / f"{stem}.png")
            for stem in sorted(stems)
        ]
        parts.append(Part(part, items, count))
    return parts


def main() -> None:
    """Parse the command line, unpack, convert."""
    given = arguments(__doc__ or "", "ADEChallengeData2016.zip")
    with told_in_one_sentence():
        for archive in given.archives:
            unpack(archive, given.root, place)
        prepare(
            find_parts(given.root, given.any_count),
            MetadataCatalog.get("ade20k_sem_seg_val").stuff_classes,
            convert,
            problems_file=given.root / FOLDER / "problems.txt",
            workers=given.workers,
            any_count=given.any_count,
        )


if __name__ == "__main__":
    main()
