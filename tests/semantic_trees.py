"""Tiny data sets of semantic segmentation, laid out and encoded as the official downloads are."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import builtin
from projects_ext.data.palette import class_colours
from projects_ext.data.voc12aug import register_voc12aug

HEIGHT, WIDTH = 48, 80


def write_image(path: Path, seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """A picture of smooth noise, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC).save(path)


def write_png(path: Path, labels: np.ndarray, palette: bool = False) -> None:
    """Labels as a grey image, or as indices of VOC's palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8))
    if palette:
        image.putpalette([value for colour in class_colours(256) for value in colour])
    image.save(path)


def blocks(values: list[int], seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Labels (H, W) in blocks of 8 x 8 pixels, drawn from ``values``; each of them occurs."""
    random = np.random.default_rng(seed)
    small = random.choice(values, (-(-size[0] // 8), -(-size[1] // 8)))
    small.flat[: len(values)] = values
    return small.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]].astype(np.uint8)


def ade20k_tree(root: Path, train: int = 3, val: int = 2) -> Path:
    """``ADEChallengeData2016`` with labels 0 to 150; returns ``root``."""
    for part, folder, count in (("train", "training", train), ("val", "validation", val)):
        for number in range(1, count + 1):
            base, name = root / "ADEChallengeData2016", f"ADE_{part}_{number:08d}"
            write_image(base / "images" / folder / f"{name}.jpg", number)
            labels = blocks([0, 1, 2, 13, 150], number)
            write_png(base / "annotations" / folder / f"{name}.png", labels)
    return root


def polygon(label: str, x0: int, y0: int, x1: int, y1: int, **more: Any) -> dict[str, Any]:
    """A rectangle as Cityscapes' polygon files have it; corners are inside."""
    return {"label": label, "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], **more}


def cityscapes_objects(number: int) -> list[dict[str, Any]]:
    """A street with all that the format knows; the higher the number, the larger the car."""
    return [
        polygon("sky", 0, 0, WIDTH - 1, 15),
        polygon("road", 0, 16, WIDTH - 1, HEIGHT - 1),
        polygon("cargroup", 50, 20, 60, 30),
        polygon("building", 0, 0, 40, 40, deleted=1),
        polygon("car", 10, 20, 20 + 2 * number, 34),
        polygon("license plate", 12, 30, 14, 32),  # its id is negative: it is not drawn
        polygon("ego vehicle", 0, 44, WIDTH - 1, HEIGHT - 1),
        polygon("person", 70, 18, 74, 30),
    ]


def cityscapes_tree(root: Path, train: int = 3, val: int = 2) -> Path:
    """``cityscapes`` as its archives unpack, without the label maps of training ids."""
    pytest.importorskip("cityscapesscripts")
    for part, city, count in (("train", "ulm", train), ("val", "lindau", val)):
        for number in range(count):
            stem = f"{city}/{city}_{number:06d}_000019"
            base = root / "cityscapes"
            write_image(base / "leftImg8bit" / part / f"{stem}_leftImg8bit.png", number)
            write_cityscapes_annotation(base / "gtFine" / part / f"{stem}_gtFine", number)
    return root


def write_cityscapes_annotation(path: Path, number: int) -> None:
    """Polygons, label ids and instance ids of one picture; ``path`` lacks their endings."""
    from cityscapesscripts.helpers.annotation import Annotation
    from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
    from cityscapesscripts.preparation.json2labelImg import createLabelImage

    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": cityscapes_objects(number)}
    Path(f"{path}_polygons.json").write_text(json.dumps(content))
    annotation = Annotation()
    annotation.fromJsonText(json.dumps(content))
    createLabelImage(annotation, "ids").save(f"{path}_labelIds.png")
    # 16 bits, as in the download; the newest Pillow does not write the 32 of the drawn image.
    instances = np.array(createInstanceImage(annotation, "ids")).astype(np.uint16)
    Image.fromarray(instances).save(f"{path}_instanceIds.png")


def voc_tree(root: Path) -> Path:
    """``VOC2012`` and ``benchmark_RELEASE``; two images are in both, one has no labels at all."""
    voc, sbd = root / "VOC2012", root / "benchmark_RELEASE" / "dataset"
    names = [f"2007_{number:06d}" for number in range(7)]
    train, val = names[:2], names[2:4]
    for number, name in enumerate(names):
        write_image(voc / "JPEGImages" / f"{name}.jpg", number)
    for number, name in enumerate(train + val):
        labels = blocks([0, 1, 15, 20, 255], number)
        write_png(voc / "SegmentationClass" / f"{name}.png", labels, palette=True)
    lists = {voc / "ImageSets/Segmentation/train.txt": train}
    lists[voc / "ImageSets/Segmentation/val.txt"] = val
    # In SBD: one of VOC's training images, one of its validation images, and two others.
    lists[sbd / "train.txt"], lists[sbd / "val.txt"] = [names[0], names[4]], [names[2], names[5]]
    for path, content in lists.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in content))
    for number in (0, 2, 4, 5):
        write_mat(sbd / "cls" / f"{names[number]}.mat", blocks([0, 3, 7], 10 + number))
    return root


def write_mat(path: Path, labels: np.ndarray) -> None:
    """Labels in the structure of SBD's files."""
    matlab = pytest.importorskip("scipy.io")
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((20, 1), dtype=object)
    for index in range(20):
        boundaries[index, 0] = np.zeros((2, 2))
    fields = {
        "Boundaries": boundaries,
        "Segmentation": labels,
        "CategoriesPresent": np.unique(labels)[1:],
    }
    matlab.savemat(path, {"GTcls": fields}, do_compression=True)


@contextmanager
def registered_below(root: Path) -> Iterator[None]:
    """Within, the names of the three data sets stand for the trees below ``root``."""
    registrars: dict[str, Callable[[str], None]] = {
        "ade20k_sem_seg_": builtin.register_all_ade20k,
        "cityscapes_fine_": builtin.register_all_cityscapes,
        "voc12aug_sem_seg_": register_voc12aug,
    }

    def register(where: str) -> None:
        for start, registrar in registrars.items():
            for name in [name for name in DatasetCatalog.list() if name.startswith(start)]:
                DatasetCatalog.remove(name)
                MetadataCatalog.remove(name)
            registrar(where)

    from tests.golden_files import DATA

    register(str(root))
    try:
        yield
    finally:
        register(str(DATA))
