"""Data set wrappers: lists in shared memory, mapping, sampling, grouping by aspect ratio."""

from __future__ import annotations

import copy
import itertools
import logging
import pickle
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import data

from detectron2.utils.serialize import PicklableWrapper
from detectron2.utils.unavailable import INTERNALS, unavailable

__all__ = ["AspectRatioGroupedDataset", "DatasetFromList", "MapDataset", "ToIterableDataset"]

logger = logging.getLogger(__name__)

MAX_SILENT_RETRIES = 3


class MapDataset(data.Dataset):
    """Applies a function to every element of a data set.

    An element for which the function returns ``None`` is replaced by another one, drawn at random,
    in a map-style data set, and left out of an iterable one.

    Args:
        dataset: map-style or iterable; for an iterable one an iterable data set is made.
        map_func: a function of one element.
    """

    def __new__(cls, dataset: Any, map_func: Callable[[Any], Any]) -> Any:
        """A map-style or an iterable data set, which have different base classes."""
        if isinstance(dataset, data.IterableDataset):
            return _MapIterableDataset(dataset, map_func)
        return super().__new__(cls)

    def __init__(self, dataset: Any, map_func: Callable[[Any], Any]) -> None:
        self._dataset = dataset
        self._map_func = PicklableWrapper(map_func)  # also a lambda, for spawned workers
        self._rng = random.Random(42)
        self._usable = set(range(len(dataset)))

    def __getnewargs__(self) -> tuple[Any, Callable[[Any], Any]]:
        # __new__ takes arguments, so unpickling (in spawned workers) has to know them.
        return self._dataset, self._map_func

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, idx: int) -> Any:
        index = int(idx)
        for attempt in itertools.count(1):
            element = self._map_func(self._dataset[index])
            if element is not None:
                self._usable.add(index)
                return element
            self._usable.discard(index)
            if not self._usable:
                raise RuntimeError(
                    f"The mapping function returned None for all {len(self)} elements of the "
                    "data set, so nothing is left to use."
                )
            if attempt >= MAX_SILENT_RETRIES:
                logger.warning("Failed to apply `_map_func` for idx: %s, retries: %s", idx, attempt)
            index = self._rng.choice(sorted(self._usable))


class _MapIterableDataset(data.IterableDataset):
    """The iterable counterpart of :class:`MapDataset`."""

    def __init__(self, dataset: Any, map_func: Callable[[Any], Any]) -> None:
        self._dataset = dataset
        self._map_func = PicklableWrapper(map_func)

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> Iterator[Any]:
        mapped = map(self._map_func, self._dataset)
        return (element for element in mapped if element is not None)


class _TorchSerializedList:
    """A read-only list whose elements lie pickled, end to end, in one byte tensor.

    Forked workers reading a list of Python objects copy its pages, because reading changes
    reference counts; a tensor's pages stay shared, and spawned workers receive it through shared
    memory.
    """

    def __init__(self, lst: Sequence[Any]) -> None:
        logger.info("Serializing %d elements to byte tensors ...", len(lst))
        ends = torch.empty(len(lst), dtype=torch.int64)
        content = bytearray()  # at once: pickled elements beside it would need its size again
        for index, element in enumerate(lst):
            content += pickle.dumps(element, protocol=pickle.HIGHEST_PROTOCOL)
            ends[index] = len(content)
        self._ends = ends
        self._bytes = torch.frombuffer(content, dtype=torch.uint8)
        logger.info("Serialized dataset takes %.2f MiB", len(self._bytes) / 2**20)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, idx: int) -> Any:
        size = len(self)
        if not -size <= idx < size:
            raise IndexError(f"Index {idx} is out of range for a data set of {size} elements.")
        position = int(idx) % size
        begin = int(self._ends[position - 1]) if position else 0
        return pickle.loads(self._bytes[begin : self._ends[position]].numpy().data)


class DatasetFromList(data.Dataset):
    """Makes a list a map-style data set.

    Args:
        lst: the elements.
        copy: whether to hand out deep copies, so that nobody can change the list by accident.
            Unpickled elements are copies anyway.
        serialize: True to hold the elements in one shared buffer; False to hold the list itself;
            or a function that turns the list into something with ``len`` and indexing.
    """

    def __init__(
        self, lst: list[Any], copy: bool = True, serialize: bool | Callable[[list[Any]], Any] = True
    ) -> None:
        if not isinstance(serialize, bool) and not callable(serialize):
            raise TypeError(f"serialize has to be a bool or a function, not {serialize!r}.")
        self._copy = copy
        self._lst: Any
        if callable(serialize):
            self._lst = serialize(lst)
        else:
            method = _DEFAULT_DATASET_FROM_LIST_SERIALIZE_METHOD
            self._lst = method(lst) if serialize and len(lst) else lst
        self._serialized = self._lst is not lst

    def __len__(self) -> int:
        return len(self._lst)

    def __getitem__(self, idx: int) -> Any:
        element = self._lst[idx]
        return copy.deepcopy(element) if self._copy and not self._serialized else element


def _shard_for_worker(iterable: Iterable[Any], chunk_size: int) -> Iterable[Any]:
    """Of every ``num_workers`` chunks, those of the current data loading worker."""
    worker = data.get_worker_info()
    if worker is None or worker.num_workers == 1:
        return iterable

    def chunks() -> Iterator[Any]:
        for position, element in enumerate(iterable):
            if (position // chunk_size) % worker.num_workers == worker.id:
                yield element

    return chunks()


class ToIterableDataset(data.IterableDataset):
    """A map-style data set, read in the order of a sampler, as an iterable one.

    Args:
        dataset: map-style.
        sampler: yields indices into it.
        shard_sampler: whether each data loading worker takes only its share of the sampler's
            stream. Every worker holds a copy of the sampler, so this is needed unless the sampler
            looks at the worker itself.
        shard_chunk_size: how many consecutive indices go to one worker. With the batch size here,
            batches are the same whatever the number of workers.
    """

    def __init__(
        self,
        dataset: data.Dataset,
        sampler: data.Sampler,
        shard_sampler: bool = True,
        shard_chunk_size: int = 1,
    ) -> None:
        if isinstance(dataset, data.IterableDataset):
            raise TypeError("ToIterableDataset needs a map-style data set; this one is iterable.")
        if not isinstance(sampler, Iterable):
            raise TypeError(f"A sampler has to be iterable; {sampler!r} is not.")
        self.dataset, self.sampler = dataset, sampler
        self.shard_sampler, self.shard_chunk_size = shard_sampler, shard_chunk_size

    def __iter__(self) -> Iterator[Any]:
        indices: Iterable[Any] = self.sampler
        if self.shard_sampler:
            indices = _shard_for_worker(indices, self.shard_chunk_size)
        return (self.dataset[index] for index in indices)

    def __len__(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type]


class AspectRatioGroupedDataset(data.IterableDataset):
    """Batches of images that are all wide or all tall, so that little padding is needed.

    Elements have to be dictionaries with ``width`` and ``height``. An element waits until its
    group is full; the order within a group is kept.

    Args:
        dataset: an iterable of such dictionaries.
        batch_size: how many elements a batch (a list) has.
    """

    def __init__(self, dataset: Iterable[dict[str, Any]], batch_size: int) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        # Wide and tall images; what waits there at the end is left for the next iteration.
        self._buckets: list[list[dict[str, Any]]] = [[], []]

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for element in self.dataset:
            group = int(element["width"] <= element["height"])
            self._buckets[group].append(element)
            if len(self._buckets[group]) == self.batch_size:
                # Before the batch is handed out: the iteration may end there.
                batch, self._buckets[group] = self._buckets[group], []
                yield batch


(_roundrobin, _shard_iterator_dataloader_worker) = unavailable(
    __name__, INTERNALS, "_roundrobin _shard_iterator_dataloader_worker"
)

_DEFAULT_DATASET_FROM_LIST_SERIALIZE_METHOD: Callable[[list[Any]], Any] = _TorchSerializedList


@contextmanager
def set_default_dataset_from_list_serialize_method(new: Callable[[list[Any]], Any]) -> Iterator:
    """Within the block, ``DatasetFromList(..., serialize=True)`` serializes by ``new``."""
    global _DEFAULT_DATASET_FROM_LIST_SERIALIZE_METHOD
    former = _DEFAULT_DATASET_FROM_LIST_SERIALIZE_METHOD
    _DEFAULT_DATASET_FROM_LIST_SERIALIZE_METHOD = new
    try:
        yield
    finally:
        _DEFAULT_DATASET_FROM_LIST_SERIALIZE_METHOD = former
