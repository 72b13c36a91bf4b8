"""PASCAL VOC 2012 with the additional labels of SBD: check the downloads, convert the labels.

    python datasets/prepare_voc12aug.py [VOCtrainval_11-May-2012.tar benchmark.tgz]

Archives are unpacked if they are given; otherwise VOC2012/ (JPEGImages, SegmentationClass and
ImageSets/Segmentation) and benchmark_RELEASE/dataset/ (cls, train.txt, val.txt) have to lie in the
folder of the data sets ($DETECTRON2_DATASETS) already.

The training part is that of VOC, with its own labels, and every image of SBD that is in neither
part of VOC: 1464 + 9118 = 10582. VOC's palette images and SBD's MATLAB files (read by scipy: `pip
install scipy`) become grey images of 0 to 20, and 255 on VOC's outlines, in
VOC2012/annotations_detectron2/{trainaug,val}. It can be run again at any time: what is done is
verified and left alone.
"""

import importlib
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from projects_ext.data.archives import unpack
from projects_ext.data.preparation import Item, Part, arguments, prepare, told_in_one_sentence
from projects_ext.data.voc12aug import FOLDER, IMAGES, LABELS, PARTS, VOC_CLASSES
from projects_ext.errors import MissingFileError, UserError

SBD = "benchmark_RELEASE/dataset"
LISTS = "ImageSets/Segmentation"
OFFICIAL_COUNTS = {"train": 10582, "val": 1449}


def place(name: str) -> str | None:
    """Where a file of either archive belongs; None if it is not needed."""
    name = name.removeprefix("./").removeprefix("VOCdevkit/")
    wanted = (
        *(f"{FOLDER}/{folder}/" for folder in (IMAGES, "SegmentationClass", LISTS)),
        f"{SBD}/cls/",
        f"{SBD}/train.txt",
        f"{SBD}/val.txt",
    )
    return name if name.startswith(wanted) else None


def convert(path: Path) -> np.ndarray:
    """The labels (H, W) of a palette image of VOC or a MATLAB file of SBD.

    Raises:
        ValueError: the file is not in its format.
        KeyError: a MATLAB file without the labels of classes.
    """
    if path.suffix == ".mat":
        matlab = _matlab()
        try:
            content = matlab.loadmat(path)["GTcls"]
        except (matlab.matlab.MatReadError, NotImplementedError, zlib.error) as error:
            raise ValueError(f"no MATLAB file of version 5: {error}") from error
        return np.asarray(content["Segmentation"][0, 0], dtype=np.uint8)
    with Image.open(path) as image:
        if image.mode not in {"P", "L"}:
            raise ValueError(f'an image of the PIL mode "{image.mode}" has no labels')
        return np.array(image, dtype=np.uint8)


def _matlab() -> ModuleType:
    try:
        return importlib.import_module("scipy.io")
    except ImportError as error:
        raise UserError(
            f"SBD's MATLAB files are read by scipy, which cannot be imported ({error}): run "
            "`pip install scipy`"
        ) from error


def read_names(path: Path) -> list[str]:
    """The names of the images in an official list.

    Raises:
        MissingFileError: no such list.
    """
    if not path.is_file():
        raise MissingFileError(
            f"no list of images at {path}: give the paths of VOCtrainval_11-May-2012.tar and "
            f"benchmark.tgz, or unpack them so that {FOLDER} and benchmark_RELEASE lie side by side"
        )
    return path.read_text().split()


def find_parts(root: Path) -> list[Part]:
    """Both parts, by the official lists of VOC and SBD.

    Raises:
        MissingFileError: a list is missing.
    """
    voc, sbd = root / FOLDER, root / SBD
    train, val = (read_names(voc / LISTS / f"{part}.txt") for part in ("train", "val"))
    extra = {name for part in ("train", "val") for name in read_names(sbd / f"{part}.txt")}
    sources = {
        "train": {
            **{name: sbd / "cls" / f"{name}.mat" for name in extra - set(val)},
            **{name: voc / "SegmentationClass" / f"{name}.png" for name in train},
        },
        "val": {name: voc / "SegmentationClass" / f"{name}.png" for name in val},
    }
    return [
        Part(
            part,
            [
                Item(voc / IMAGES / f"{name}.jpg", source, voc / LABELS / folder / f"{name}.png")
                for name, source in sorted(sources[part].items())
            ],
            OFFICIAL_COUNTS[part],
        )
        for part, folder in PARTS.items()
    ]


def main() -> None:
    """Parse the command line, unpack, convert."""
    given = arguments(__doc__ or "", "VOCtrainval_11-May-2012.tar, benchmark.tgz")
    with told_in_one_sentence():
        _matlab()
        for archive in given.archives:
            unpack(archive, given.root, place)
        prepare(
            find_parts(given.root),
            VOC_CLASSES,
            convert,
            problems_file=given.root / FOLDER / "problems.txt",
            workers=given.workers,
            any_count=given.any_count,
        )


if __name__ == "__main__":
    main()
