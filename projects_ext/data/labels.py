"""Label maps of semantic segmentation: reading, checking, counting.

A label map is an 8-bit grey image of its picture's size; a pixel is the number of a class, or 255
for "ignore".
"""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tabulate import tabulate

from detectron2.data import MetadataCatalog
from projects_ext.errors import MissingFileError, UserError

from .image_files import size_as_read, too_many_pixels

logger = logging.getLogger("detectron2.projects_ext")

IGNORE_LABEL = 255
MAX_CLASSES = IGNORE_LABEL
"""A label is a byte, and one value is taken."""

_UNREADABLE = (OSError, SyntaxError, ValueError)
_THREADS = 8


@dataclass
class LabelStatistics:
    """How many images and pixels each class has.

    Attributes:
        classes: their names, by label.
        images: (256,) the number of label maps in which a value occurs.
        pixels: (256,) the number of pixels that have it.
        maps: how many label maps were counted.
    """

    classes: Sequence[str]
    images: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    maps: int = 0

    def add(self, counts: np.ndarray) -> None:
        """Add one label map by the pixels (256,) of each value."""
        self.images += counts > 0
        self.pixels += counts
        self.maps += 1

    def table(self) -> str:
        """One line a class, with its share of the pixels that are not ignored."""
        used = int(self.pixels[: len(self.classes)].sum())
        rows: list[tuple[Any, ...]] = [
            (index, name, self.images[index], self.pixels[index], _share(self.pixels[index], used))
            for index, name in enumerate(self.classes)
        ]
        total = used + int(self.pixels[IGNORE_LABEL])
        ignored = self.images[IGNORE_LABEL], self.pixels[IGNORE_LABEL]
        rows.append((IGNORE_LABEL, "(ignored)", *ignored, _share(ignored[1], total, " of all")))
        headers = ("label", "class", "images", "pixels", "share")
        return tabulate(rows, headers=headers, tablefmt="simple", intfmt=",", stralign="left")


def _share(part: int, whole: int, of: str = "") -> str:
    return f"{100 * part / whole:.2f} %{of}" if whole else "-"


def read_label_map(path: str | Path, dtype: Any = np.uint8) -> np.ndarray:
    """The labels (H, W) of a file, as they are stored.

    Raises:
        MissingFileError: no such file.
        UserError: it cannot be read, or is not an 8-bit grey image. (Detectron2 would read the
            colours of a palette image in the place of its labels, and cut 16 bits off at 255.)
    """
    try:
        with Image.open(path) as image:
            if image.mode != "L":
                raise UserError(f"the label map {path} {_wrong_mode(image.mode)}")
            return np.array(image, dtype=dtype)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"no label map at {path}: copy it there") from error
    except Image.DecompressionBombError as error:
        raise too_many_pixels(f"the label map {path}") from error
    except _UNREADABLE as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise UserError(
            f"the label map {path} cannot be read ({reason}): it is truncated or no image; copy it "
            "again"
        ) from error


def _wrong_mode(mode: str) -> str:
    if mode == "P":
        return (
            "is a palette image, of which the colours would be read in place of the labels: store "
            "its indices, Image.fromarray(numpy.array(Image.open(path))).save(path)"
        )
    return (
        f'has the PIL mode "{mode}": labels are 8-bit grey images (mode "L"), one byte a pixel with'
        " the number of its class"
    )


def count_labels(labels: np.ndarray) -> np.ndarray:
    """How many pixels have each value: (256,) for an array of uint8."""
    return np.bincount(labels.reshape(-1), minlength=256)


def unknown_labels(counts: np.ndarray, num_classes: int) -> str:
    """The values that are neither a class nor 255, with their pixels, as text; "" for none."""
    odd = [value for value in np.flatnonzero(counts) if num_classes <= value != IGNORE_LABEL]
    named = ", ".join(f"{value} ({counts[value]} pixels)" for value in odd[:8])
    return f"{named}{', …' if len(odd) > 8 else ''}"


def require_known_labels(path: str | Path, counts: np.ndarray, num_classes: int) -> None:
    """Refuse a label map that has other values than the classes and 255.

    Raises:
        UserError: with the file and the values.
    """
    odd = unknown_labels(counts, num_classes)
    if odd:
        raise UserError(
            f"the label map {path} has the labels {odd}, but "
            f"{_classes_are(num_classes)} and 255 is ignored: correct the file, or the list of "
            "classes"
        )


def _classes_are(count: int) -> str:
    return "the only class is 0" if count == 1 else f"the {count} classes are 0 to {count - 1}"


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image as Detectron2 reads it, from its header.

    Raises:
        UserError: it is missing or no image.
    """
    try:
        return size_as_read(str(path))
    except FileNotFoundError as error:
        raise MissingFileError(f"no image at {path}: copy it there") from error
    except Image.DecompressionBombError as error:
        raise too_many_pixels(f"the image file {path}") from error
    except _UNREADABLE as error:
        raise UserError(
            f"the image file {path} is no image, or of a kind that Pillow does not read: copy it "
            "again, or save it as 8-bit RGB"
        ) from error


# Label maps that have been found good: file, its date and size, and the number of classes.
_checked: dict[tuple[str, int, int, int], np.ndarray] = {}


def check_label_map(record: dict[str, Any], num_classes: int) -> np.ndarray:
    """Check one record's label map; a second time costs nothing while the file is the same.

    Args:
        record: with ``sem_seg_file_name``, ``height`` and ``width``; both of the latter may lack.
        num_classes: labels are below it, or 255.

    Returns:
        the number of pixels of each value, (256,).

    Raises:
        UserError: the label map is missing, unreadable, of another size than its image, or has
            unknown values.
    """
    path = record["sem_seg_file_name"]
    try:
        status = Path(path).stat()
    except OSError as error:
        raise MissingFileError(f"no label map at {path}: copy it there") from error
    key = (path, status.st_mtime_ns, status.st_size, num_classes)
    if key not in _checked:
        labels = read_label_map(path)
        size = record.get("height"), record.get("width")
        if None not in size and labels.shape != size:
            raise UserError(
                f"the label map {path} is {labels.shape[1]} x {labels.shape[0]} (width x height), "
                f"but its image {record['file_name']} is {size[1]} x {size[0]}: a label map has "
                "its image's size"
            )
        counts = count_labels(labels)
        require_known_labels(path, counts, num_classes)
        _checked[key] = counts
    return _checked[key]


def check_label_maps(
    records: Iterable[dict[str, Any]], classes: Sequence[str], name: str
) -> LabelStatistics:
    """Check every label map of a data set, before a run is built on it.

    Args:
        records: data set dictionaries; those without ``sem_seg_file_name`` are left out.
        classes: the names of the classes.
        name: of the data set, for the log.

    Raises:
        UserError: see :func:`check_label_map`; the first file of ``records`` that is not good.
    """
    labelled = [record for record in records if "sem_seg_file_name" in record]
    if len(labelled) > 500:
        logger.info(f"Checking the {len(labelled)} label maps of {name}")
    statistics = LabelStatistics(classes)
    with ThreadPoolExecutor(_THREADS) as pool:
        for counts in pool.map(partial(check_label_map, num_classes=len(classes)), labelled):
            statistics.add(counts)
    return statistics


# Warnings that have been given: the same label maps are counted at several places.
_warned: set[str] = set()


def require_learnable(statistics: LabelStatistics, name: str) -> None:
    """Refuse label maps in which there is nothing to tell apart; warn of classes without a pixel.

    Args:
        statistics: of all label maps of a data set.
        name: of the data set, for messages.

    Raises:
        UserError: there is a single class; or every pixel is 255 or class 0, and 255 occurs, as
            where the pixels of an object were written as 255.
    """
    classes, pixels = statistics.classes, statistics.pixels
    if len(classes) < 2:
        raise UserError(
            f"{name} has the single class {', '.join(classes)}, which every pixel would be of: "
            "name the background as a class as well (data.classes=[background,NAME]; YAML: "
            "DATASETS.LABEL_FOLDERS.CLASSES), and write 0 and 1 in the label maps"
        )
    if not statistics.maps:
        return
    used, ignored = int(pixels[: len(classes)].sum()), int(pixels[IGNORE_LABEL])
    share = _share(ignored, used + ignored)
    if ignored and not pixels[1 : len(classes)].any():
        what = f"of the class 0 ({classes[0]}) or 255" if pixels[0] else "255"
        raise UserError(
            f"all pixels of the {statistics.maps} label maps of {name} are {what} ({share} are "
            '255): 255 means "ignore"; write 1 for the pixels of the class '
            f"{classes[1]}, and only leave 255 where nothing is known"
        )
    absent = [label for label in range(len(classes)) if not pixels[label]]
    if not absent:
        return
    one = len(absent) == 1
    named = ", ".join(f"{classes[label]} ({label})" for label in absent[:8])
    more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
    hint = f'; {share} of the pixels are 255, which means "ignore"' if ignored else ""
    warning = (
        f"{name}: {len(absent)} of the {len(classes)} classes {'has' if one else 'have'} no pixel "
        f"in any label map, so that {'it is' if one else 'they are'} not learnt from it, or not "
        f"measured on it: {named}{more}; correct the label maps or "
        f"the list of classes if they should have{hint}"
    )
    if warning not in _warned:
        _warned.add(warning)
        logger.warning(warning)


def require_label_maps(records: Any, dataset_names: Iterable[str]) -> None:
    """Check the label maps of registered data sets as far as their metadata names the classes.

    Args:
        records: of the data sets; anything but a list of dictionaries is not looked at.
        dataset_names: their names; the ``stuff_classes`` of the first that has some are used.

    Raises:
        UserError: see :func:`check_label_map` and :func:`require_learnable`.
    """
    if not isinstance(records, list) or "sem_seg_file_name" not in (records[:1] or [{}])[0]:
        return
    for name in dataset_names:
        classes = MetadataCatalog.get(name).get("stuff_classes")
        if classes:
            require_learnable(check_label_maps(records, classes, name), name)
            return
