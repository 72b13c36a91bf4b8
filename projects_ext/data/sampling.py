"""Samplers for data sets in which some classes are rare, by name."""

import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from detectron2.data.samplers import RepeatFactorTrainingSampler
from detectron2.utils import comm
from projects_ext.errors import UserError

Record = dict[str, Any]
KEY = "dataloader.train.sampler"
NAMES = ("repeat_factor", "class_balanced")


def named_sampler(
    name: str, records: Any, threshold: float | None = None
) -> Callable[[int], Sampler[int]]:
    """What makes a sampler from a seed.

    Args:
        name: ``repeat_factor``: images of rare classes come more often (Gupta et al., "LVIS",
            arXiv 1908.03195, section 3.3), by the square root of how much rarer the rarest class in
            them is than the threshold. ``class_balanced``: every class is drawn as often as every
            other.
        records: data set dictionaries with annotations.
        threshold: of ``repeat_factor``: the share of images below which a class is rare; None: the
            median of the classes, since the 0.001 of LVIS makes no class of a small data set rare.

    Raises:
        UserError: an unknown name, or records without objects.
    """
    if name not in NAMES:
        raise UserError(f"{KEY} is {name!r}: it is {' or '.join(NAMES)}, or null for neither")
    classes = [_classes(record) for record in records] if isinstance(records, list) else []
    if not any(classes):
        raise UserError(
            f"{KEY}={name} needs data sets whose records list objects: set it to null for others"
        )
    if name == "class_balanced":
        return lambda seed: ClassBalancedSampler(classes, seed=seed)
    if threshold is None:
        counts = Counter(itertools.chain.from_iterable(classes))
        threshold = statistics.median(counts.values()) / len(records)
    factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(records, threshold)
    return lambda seed: RepeatFactorTrainingSampler(factors, seed=seed)


def _classes(record: Record) -> list[int]:
    """The classes of the objects of an image that count, each once."""
    objects = (o for o in record.get("annotations", ()) if not o.get("iscrowd"))
    return sorted({o["category_id"] for o in objects})


class ClassBalancedSampler(Sampler[int]):
    """Draws a class, then one of its images: all classes are drawn equally often.

    Images without objects are a class of their own, so that they are drawn, too. The images of a
    class come in a shuffled order, each once before any comes again.

    Args:
        classes: for each image the classes in it.
        seed: of the order; the same in all processes, each of which takes its share.
    """

    def __init__(self, classes: Sequence[Sequence[int]], *, seed: int) -> None:
        self._seed = int(seed)
        self._images: dict[int, list[int]] = {}
        for image, found in enumerate(classes):
            for one in found or (-1,):
                self._images.setdefault(one, []).append(image)

    def __iter__(self) -> Iterator[int]:
        yield from itertools.islice(self._endless(), comm.get_rank(), None, comm.get_world_size())

    def _endless(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self._seed)
        waiting: dict[int, list[int]] = {one: [] for one in self._images}
        names = sorted(self._images)
        while True:
            for place in torch.randperm(len(names), generator=generator).tolist():
                left = waiting[names[place]]
                if not left:
                    images = self._images[names[place]]
                    order = torch.randperm(len(images), generator=generator)
                    left += [images[index] for index in order.tolist()]
                yield left.pop()
