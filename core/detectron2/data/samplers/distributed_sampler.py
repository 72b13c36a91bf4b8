"""Samplers that know about the other processes of a distributed run.

The training samplers never end. All processes draw the same stream from the same seed, and the
process of rank ``r`` among ``n`` takes the elements ``r, r + n, r + 2 n, ...`` of it, so that
together they see every element once an epoch.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler

from detectron2.utils import comm

logger = logging.getLogger(__name__)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _agreed_seed(seed: int | None) -> int:
    """``seed`` itself, or one random number that all processes agree on."""
    return comm.shared_random_seed() if seed is None else int(seed)


def _positive_size(size: int) -> int:
    if not isinstance(size, int):
        raise TypeError(f"A sampler's size has to be an int, not {size!r}.")
    if size <= 0:
        raise ValueError(f"A training sampler needs at least one element, got size={size}.")
    return size


class _EndlessSampler(Sampler[int]):
    """Epoch after epoch of indices, sharded by rank; subclasses say what an epoch is."""

    def __init__(self, shuffle: bool, seed: int | None) -> None:
        self._shuffle = shuffle
        self._seed = _agreed_seed(seed)
        self._rank, self._world_size = comm.get_rank(), comm.get_world_size()

    def _epoch(self, generator: torch.Generator) -> torch.Tensor:
        """Indices of one epoch, unshuffled."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return itertools.islice(self._infinite_indices(), self._rank, None, self._world_size)

    def _infinite_indices(self) -> Iterator[int]:
        generator = _generator(self._seed)
        while True:
            indices = self._epoch(generator)
            if self._shuffle:
                indices = indices[torch.randperm(len(indices), generator=generator)]
            yield from indices.tolist()


class TrainingSampler(_EndlessSampler):
    """Every index once an epoch, in a new random order each time.

    Args:
        size: number of elements of the data set.
        shuffle: False for the order of the data set.
        seed: of the shuffling, the same in all processes; None for a random one they agree on.
    """

    def __init__(self, size: int, shuffle: bool = True, seed: int | None = None) -> None:
        self._size = _positive_size(size)
        super().__init__(shuffle, seed)

    def _epoch(self, generator: torch.Generator) -> torch.Tensor:
        return torch.arange(self._size)


class RandomSubsetTrainingSampler(TrainingSampler):
    """A :class:`TrainingSampler` on a fixed random part of the data set.

    Args:
        size: number of elements of the data set.
        subset_ratio: part of them to use, above 0 and at most 1.
        shuffle: False for one and the same order each epoch.
        seed_shuffle: of the shuffling; see :class:`TrainingSampler`.
        seed_subset: of the choice of the part; None for a random one.
    """

    def __init__(
        self,
        size: int,
        subset_ratio: float,
        shuffle: bool = True,
        seed_shuffle: int | None = None,
        seed_subset: int | None = None,
    ) -> None:
        super().__init__(size, shuffle, seed_shuffle)
        if not 0.0 < subset_ratio <= 1.0:
            raise ValueError(f"subset_ratio has to lie in (0, 1], got {subset_ratio}.")
        self._size_subset = int(size * subset_ratio)
        if self._size_subset == 0:
            raise ValueError(f"subset_ratio={subset_ratio} leaves none of {size} elements.")
        order = torch.randperm(size, generator=_generator(_agreed_seed(seed_subset)))
        self._indexes_subset = order[: self._size_subset]
        logger.info("Randomly sample %d of %d images for training", self._size_subset, size)

    def _epoch(self, generator: torch.Generator) -> torch.Tensor:
        return self._indexes_subset


class RepeatFactorTrainingSampler(_EndlessSampler):
    """Repeats elements by given factors, for data sets where some categories are rare.

    An element with factor 2.3 comes twice in every epoch and a third time in 30 % of them
    (repeat factor sampling of LVIS, Gupta et al. 2019, appendix B).

    Args:
        repeat_factors: float tensor, one factor for each element of the data set.
        shuffle: whether an epoch is shuffled.
        seed: of shuffling and rounding; see :class:`TrainingSampler`.
    """

    def __init__(
        self, repeat_factors: torch.Tensor, *, shuffle: bool = True, seed: int | None = None
    ) -> None:
        super().__init__(shuffle, seed)
        self._whole = repeat_factors.trunc()
        self._fraction = repeat_factors - self._whole

    def _epoch(self, generator: torch.Generator) -> torch.Tensor:
        extra = torch.rand(len(self._fraction), generator=generator) < self._fraction
        repeats = self._whole.long() + extra.long()
        return torch.repeat_interleave(torch.arange(len(repeats)), repeats)

    @staticmethod
    def repeat_factors_from_category_frequency(
        dataset_dicts: list[dict[str, Any]], repeat_thresh: float, sqrt: bool = True
    ) -> torch.Tensor:
        """Repeat factor of each image, from how rare its rarest category is.

        A category ``c`` in the fraction ``f(c)`` of all images has the factor
        ``max(1, sqrt(repeat_thresh / f(c)))``; an image has the largest factor of its categories.

        Args:
            dataset_dicts: with ``annotations`` that have a ``category_id``.
            repeat_thresh: frequency below which categories are repeated.
            sqrt: False to leave the square root out.
        """
        categories = [{obj["category_id"] for obj in d["annotations"]} for d in dataset_dicts]
        image_count = Counter(itertools.chain.from_iterable(categories))

        def factor(category: int) -> float:
            ratio = repeat_thresh / (image_count[category] / len(dataset_dicts))
            return max(1.0, math.sqrt(ratio) if sqrt else ratio)

        factors = {category: factor(category) for category in image_count}
        return torch.tensor(
            [max((factors[c] for c in present), default=1.0) for present in categories],
            dtype=torch.float32,
        )


class InferenceSampler(Sampler[int]):
    """Each element exactly once over all processes, in contiguous shares.

    Shares differ by at most one element, so processes can have unequal numbers of batches.

    Args:
        size: number of elements of the data set.
    """

    def __init__(self, size: int) -> None:
        if size <= 0:
            raise ValueError(f"An inference sampler needs at least one element, got size={size}.")
        self._size = size
        self._local_indices = self._get_local_indices(size, comm.get_world_size(), comm.get_rank())

    @staticmethod
    def _get_local_indices(total_size: int, world_size: int, rank: int) -> range:
        base, left_over = divmod(total_size, world_size)
        begin = base * rank + min(rank, left_over)
        return range(begin, min(begin + base + (rank < left_over), total_size))

    def __iter__(self) -> Iterator[int]:
        yield from self._local_indices

    def __len__(self) -> int:
        return len(self._local_indices)
