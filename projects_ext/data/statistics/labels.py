"""Label maps of a data set in numbers: pixels and images of each class, and what looks odd."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from projects_ext.errors import UserError

from ..labels import IGNORE_LABEL, LabelStatistics, check_label_map
from .oddities import Oddity

RARE_PIXELS, FEW_IMAGES, MOSTLY_IGNORED = 0.001, 5, 0.5
"""A class with a smaller share of the pixels, in fewer images; an image with more of it ignored."""
_THREADS = 8

Progress = Callable[[Iterable[np.ndarray], int], Iterable[np.ndarray]]


@dataclass(frozen=True)
class LabelMapStatistics:
    """The label maps of a data set.

    Attributes:
        classes: names of the K classes.
        files: of the M images that have a label map.
        label_files: of their label maps.
        pixels: (M, 256) number of pixels with each value; 255 is ignored.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    label_files: tuple[str, ...]
    pixels: np.ndarray

    @cached_property
    def totals(self) -> LabelStatistics:
        """Summed over all images, as a table shows them."""
        totals = LabelStatistics(self.classes)
        for counts in self.pixels:
            totals.add(counts)
        return totals

    @cached_property
    def shares(self) -> np.ndarray:
        """(K,) share of the pixels that are not ignored."""
        pixels = self.totals.pixels[: len(self.classes)]
        return pixels / max(int(pixels.sum()), 1)

    @cached_property
    def ignored(self) -> np.ndarray:
        """(M,) share of each image that is ignored."""
        return self.pixels[:, IGNORE_LABEL] / np.maximum(self.pixels.sum(axis=1), 1)

    @cached_property
    def classes_per_image(self) -> np.ndarray:
        """(M,) number of classes that occur."""
        return (self.pixels[:, : len(self.classes)] > 0).sum(axis=1)

    def oddities(self) -> list[Oddity]:
        """What looks odd: of classes, of images."""
        return [*self._of_classes(), *self._of_images()]

    def _of_classes(self) -> Iterator[Oddity]:
        images = self.totals.images[: len(self.classes)]
        absent = np.flatnonzero(images == 0)
        if len(absent):
            yield Oddity(
                "absent",
                len(absent),
                f"{'class' if len(absent) == 1 else 'classes'} without any pixel",
                "cannot be learnt: take it out of the list of classes, or label some",
                classes=tuple(map(int, absent)),
            )
        rare = (images > 0) & ((self.shares < RARE_PIXELS) | (images < FEW_IMAGES))
        if rare.any():
            found = np.flatnonzero(rare)
            yield Oddity(
                "rare",
                len(found),
                f"{'class' if len(found) == 1 else 'classes'} with less than {RARE_PIXELS:.1%} of "
                f"the pixels or in fewer than {FEW_IMAGES} images",
                "label more of them, or weigh classes in the loss "
                "(projects_ext.semantic.CrossEntropy)",
                classes=tuple(map(int, found[np.argsort(self.shares[found], kind="stable")])),
            )

    def _of_images(self) -> Iterator[Oddity]:
        for kind, chosen, order, title, advice in (
            (
                "ignored",
                self.ignored > MOSTLY_IGNORED,
                -self.ignored,
                f"of which more than {MOSTLY_IGNORED:.0%} is ignored (255)",
                "nothing is learnt there; look whether 255 was meant for an object",
            ),
            (
                "uniform",
                self.classes_per_image == 1,
                self.ignored,
                "with a single class",
                "right for a field or a sky; otherwise the label map is not finished",
            ),
        ):
            found = np.flatnonzero(chosen)
            if len(found):
                found = found[np.argsort(order[found], kind="stable")]
                noun = "image" if len(found) == 1 else "images"
                indices = tuple(map(int, found))
                yield Oddity(kind, len(found), f"{noun} {title}", advice, indices)


def count_label_maps(
    records: Iterable[Mapping[str, Any]], classes: Sequence[str], progress: Progress | None = None
) -> LabelMapStatistics:
    """Check and count every label map.

    Args:
        records: with ``file_name`` and ``sem_seg_file_name``; those without are left out.
        classes: names of the classes.
        progress: wraps the counts while they are made, given their number as well.

    Raises:
        UserError: a label map cannot be used (:func:`~projects_ext.data.labels.check_label_map`),
            or there is none.
    """
    labelled = [dict(record) for record in records if "sem_seg_file_name" in record]
    if not labelled:
        raise UserError("no record of the data set has a label map (sem_seg_file_name)")
    count = partial(check_label_map, num_classes=len(classes))
    with ThreadPoolExecutor(_THREADS) as pool:
        counts = pool.map(count, labelled)
        pixels = list(progress(counts, len(labelled)) if progress else counts)
    return LabelMapStatistics(
        classes=tuple(map(str, classes)),
        files=tuple(record["file_name"] for record in labelled),
        label_files=tuple(record["sem_seg_file_name"] for record in labelled),
        pixels=np.array(pixels).reshape(-1, 256),
    )
