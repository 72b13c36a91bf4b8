"""How fast data comes, and which part of the way is slow."""

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import Dataset, Sampler
from tqdm import trange

from detectron2.utils import comm
from detectron2.utils.unavailable import INTERNALS, unavailable

from .build import build_batch_data_loader
from .common import DatasetFromList, MapDataset
from .samplers import TrainingSampler

logger = logging.getLogger(__name__)

PERCENTILES = (1, 5, 95, 99)


def iter_benchmark(
    iterator: Iterable[Any], num_iter: int, warmup: int = 5, max_time_seconds: float = 60
) -> tuple[float, list[float]]:
    """Time the elements of an iterable.

    Args:
        iterator: what to time; it has to be long enough.
        num_iter: elements to time.
        warmup: elements before them that do not count.
        max_time_seconds: when to end before that.

    Returns:
        Mean seconds per element, and the seconds of each.
    """
    elements = iter(iterator)
    for _ in range(int(warmup)):
        next(elements)
    times: list[float] = []
    begin = time.perf_counter()
    for _ in trange(int(num_iter)):
        start = time.perf_counter()
        if start - begin > max_time_seconds:
            break
        next(elements)
        times.append(time.perf_counter() - start)
    return (time.perf_counter() - begin) / max(len(times), 1), times


class _NothingOf(Dataset):
    """Loads each element of a data set and discards it."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> list[int]:
        self.dataset[index]
        return [0]


class DataLoaderBenchmark:
    """Times the parts of a training loader; the figures are logged.

    Args:
        dataset: a list of data set dictionaries, or a data set object.
        mapper: from a dictionary to the model's input.
        sampler: gives indices; a :class:`TrainingSampler` by default.
        total_batch_size: over all processes.
        num_workers: loading processes of each process.
        max_time_seconds: limit of each measurement.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        mapper: Callable[[Any], Any],
        sampler: Sampler[int] | None = None,
        total_batch_size: int,
        num_workers: int = 0,
        max_time_seconds: int = 90,
    ) -> None:
        self.dataset: Any = (
            DatasetFromList(dataset, copy=False) if isinstance(dataset, list) else dataset
        )
        self.mapper, self.num_workers = mapper, num_workers
        self.sampler = TrainingSampler(len(self.dataset)) if sampler is None else sampler
        self.total_batch_size, self.max_time_seconds = total_batch_size, max_time_seconds
        self.per_gpu_batch_size = total_batch_size // comm.get_world_size()

    def benchmark_dataset(self, num_iter: int, warmup: int = 5) -> None:
        """Elements of the data set alone."""
        self._benchmark(self._elements(lambda x: x), num_iter, warmup, "Dataset Alone")

    def benchmark_mapper(self, num_iter: int, warmup: int = 5) -> None:
        """Elements of the data set, mapped in this process."""
        title = "Single Process Mapper (sec/sample)"
        self._benchmark(self._elements(self.mapper), num_iter, warmup, title)

    def benchmark_workers(self, num_iter: int, warmup: int = 10) -> None:
        """Batches, with no loading process, with one, and with ``num_workers``."""
        for workers in dict.fromkeys((0, 1, self.num_workers)):
            title = f"DataLoader ({workers} workers, bs={self.per_gpu_batch_size})"
            self._benchmark(self._loader(workers), num_iter, warmup, title, workers)

    def benchmark_IPC(self, num_iter: int, warmup: int = 10) -> None:
        """Batches whose content is not sent: the rest is what sending costs."""
        workers = self.num_workers
        title = f"DataLoader ({workers} workers, bs={self.per_gpu_batch_size}) w/o comm"
        self._benchmark(self._loader(workers, _NothingOf), num_iter, warmup, title, workers)

    def benchmark_distributed(self, num_iter: int, warmup: int = 10) -> None:
        """Batches in all processes at once; the main one logs the figures of all."""
        loader = iter(self._loader(self.num_workers))
        begin = time.perf_counter()
        next(loader)
        logger.info(f"Dataloader startup time: {time.perf_counter() - begin:.2f} seconds")
        comm.synchronize()
        factor = max(self.num_workers, 1)
        measured = iter_benchmark(loader, num_iter * factor, warmup * factor, self.max_time_seconds)
        size, workers = comm.get_world_size(), self.num_workers
        title = f"DataLoader ({size} GPUs x {workers} workers, total bs={self.total_batch_size})"
        for rank, of_rank in enumerate(comm.all_gather(measured)):
            if comm.is_main_process():
                self._log(f"GPU{rank} {title}", *of_rank)

    def _elements(self, function: Callable[[Any], Any]) -> Iterator[Any]:
        for index in itertools.chain.from_iterable(itertools.repeat(self.sampler)):
            yield function(self.dataset[index])

    def _loader(self, workers: int, wrapper: Callable[[Any], Any] = lambda x: x) -> Any:
        dataset = wrapper(MapDataset(self.dataset, self.mapper))
        return build_batch_data_loader(
            dataset, self.sampler, self.total_batch_size, num_workers=workers
        )

    def _benchmark(
        self, elements: Iterable[Any], num_iter: int, warmup: int, title: str, workers: int = 1
    ) -> None:
        factor = max(workers, 1)
        count, before = num_iter * factor, warmup * factor
        self._log(title, *iter_benchmark(elements, count, before, self.max_time_seconds))

    @staticmethod
    def _log(title: str, average: float, times: list[float]) -> None:
        marks = zip(PERCENTILES, np.percentile(times, PERCENTILES, method="nearest"), strict=True)
        spread = ", ".join(f"p{percent}={seconds:.2g}s" for percent, seconds in marks)
        logger.info(f"{title}: avg={1 / average:.1f} it/s, {spread}.")


_EmptyMapDataset = unavailable(__name__, INTERNALS, "_EmptyMapDataset")
