"""A data loader whose order and random numbers are functions of a seed and a position.

Detectron2's training loader draws its augmentations from the random state of whichever process
loads an image, and forms its batches from what the processes deliver. Here the batches are formed
from the data set's dictionaries before anything is loaded, and each image's random numbers come
from its position in the order. So a batch is the same with any number of loading processes, and a
run can go on from any batch without loading those before it.
"""

import itertools
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from detectron2.utils import comm

from .reading import Mapper

logger = logging.getLogger("detectron2.projects_ext")

Place = tuple[int, int]
"""The position in the order of the whole run, over all processes; the index in the data set."""

RETRIES = 100


@contextmanager
def random_numbers_of(seed: int, position: int) -> Iterator[None]:
    """Within, Python's, NumPy's and torch's (CPU) random numbers depend on the arguments alone.

    Afterwards they go on as if nothing had been drawn.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence([seed, position]).generate_state(6)
    random.seed(int(words[0]))
    np.random.seed(words[1:5])
    torch.default_generator.manual_seed(int(words[5]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class SeededDataset(Dataset[Any]):
    """Maps the element at a :data:`Place`, with random numbers of its position.

    Where the mapper returns None, another element takes the place, drawn with them as well.

    Args:
        dataset: map-style.
        mapper: of one element; None for none.
        seed: of the random numbers.
    """

    def __init__(self, dataset: Any, mapper: Mapper | None, seed: int) -> None:
        self.dataset, self.mapper, self.seed = dataset, mapper, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: Place) -> Any:
        position, index = place
        with random_numbers_of(self.seed, position):
            for _ in range(RETRIES):
                element = self.dataset[index]
                if self.mapper is not None:
                    element = self.mapper(element)
                if element is not None:
                    return element
                index = random.randrange(len(self.dataset))
        raise RuntimeError(f"the mapper returned None for {RETRIES} elements in a row")


class Batches:
    """The places of batch after batch, without end, from any batch on.

    Args:
        sampler: endless indices of this process's elements.
        batch_size: of this process.
        is_wide: for each element whether its image is wider than high, to have only wide or only
            other images in a batch; None: batches are in the sampler's order.
        first: the first batch to give.
    """

    def __init__(
        self, sampler: Sampler[int], batch_size: int, is_wide: np.ndarray | None, first: int
    ) -> None:
        self.sampler, self.batch_size = sampler, batch_size
        self.is_wide, self.first = is_wide, first

    def __iter__(self) -> Iterator[list[Place]]:
        return itertools.islice(self._all(), self.first, None)

    def _all(self) -> Iterator[list[Place]]:
        processes, rank = comm.get_world_size(), comm.get_rank()
        waiting: tuple[list[Place], list[Place]] = ([], [])
        for count, index in enumerate(self.sampler):
            group = waiting[0 if self.is_wide is None else int(self.is_wide[index])]
            group.append((count * processes + rank, index))
            if len(group) == self.batch_size:
                yield group.copy()
                group.clear()


class ResumableLoader:
    """Endless training batches that can go on from where another run's loader stood.

    Args:
        dataset: map-style.
        mapper: from an element to a model's input; None for none.
        make_sampler: from a seed to an endless sampler of this process's indices.
        batch_size: of this process.
        is_wide: see :class:`Batches`.
        seed: of the order and of the augmentations, the same in all processes.
        options: arguments of ``torch.utils.data.DataLoader``.

    Attributes:
        served: how many batches have been handed out, those of the resumed run included.
        files: the image files of the latest batch, as far as it names them.
    """

    def __init__(
        self,
        dataset: Any,
        mapper: Mapper | None,
        make_sampler: Callable[[int], Sampler[int]],
        batch_size: int,
        *,
        is_wide: np.ndarray | None,
        seed: int,
        **options: Any,
    ) -> None:
        self.dataset, self.mapper, self.make_sampler = dataset, mapper, make_sampler
        self.batch_size, self.is_wide, self.seed = batch_size, is_wide, seed
        self.options = options
        self.served = 0
        self.files: list[str] = []

    def __iter__(self) -> Iterator[Any]:
        loader: DataLoader[Any] = DataLoader(
            SeededDataset(self.dataset, self.mapper, self.seed),
            batch_sampler=Batches(
                self.make_sampler(self.seed), self.batch_size, self.is_wide, self.served
            ),
            # Of its own, so that starting to load leaves the run's random state alone.
            generator=torch.Generator().manual_seed(self.seed),
            **self.options,
        )
        for batch in loader:
            self.served += 1
            self.files = file_names(batch)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The seed, the number of batches served, and what the order depends on besides."""
        return {"seed": self.seed, "served": self.served, "order": self._order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the last batch that the other loader served.

        With another batch size, number of processes or data set there is no such place: then the
        images come in a new order from the beginning, and one line in the log says so.
        """
        changed = [key for key, value in self._order().items() if state["order"].get(key) != value]
        if not changed:
            self.seed, self.served = state["seed"], state["served"]
            return
        mixed = np.random.SeedSequence([state["seed"], state["served"]]).generate_state(1)
        self.seed, self.served = int(mixed[0] >> 1), 0
        logger.info(
            f"The images come in a new order: {' and '.join(changed)} differ from the resumed run's"
        )

    def _order(self) -> dict[str, Any]:
        return {
            "number of images": len(self.dataset),
            "batch size": self.batch_size,
            "number of processes": comm.get_world_size(),
            "aspect ratio grouping": self.is_wide is not None,
        }


def file_names(batch: Any) -> list[str]:
    """The image files of a batch that is a list of dictionaries; of others, none."""
    records = batch if isinstance(batch, Sequence) else []
    return [str(r["file_name"]) for r in records if isinstance(r, dict) and "file_name" in r]
