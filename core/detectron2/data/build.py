"""Data loaders, from data sets or from a config."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils import data as torchdata

from detectron2.config import configurable
from detectron2.data.detection_utils import check_metadata_consistency  # noqa: F401
from detectron2.structures.boxes import BoxMode  # noqa: F401
from detectron2.utils.comm import get_world_size
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import _log_api_usage, log_first_n  # noqa: F401
from detectron2.utils.unavailable import INTERNALS, unavailable

from .catalog import DatasetCatalog, MetadataCatalog  # noqa: F401
from .common import AspectRatioGroupedDataset, DatasetFromList, MapDataset, ToIterableDataset
from .dataset_dicts import (
    filter_images_with_few_keypoints,
    filter_images_with_only_crowd_annotations,
    get_detection_dataset_dicts,
    load_proposals_into_dataset,
    print_instances_class_histogram,
)
from .dataset_mapper import DatasetMapper
from .samplers import (
    InferenceSampler,
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)

__all__ = [
    "build_batch_data_loader",
    "build_detection_test_loader",
    "build_detection_train_loader",
    "filter_images_with_few_keypoints",
    "filter_images_with_only_crowd_annotations",
    "get_detection_dataset_dicts",
    "load_proposals_into_dataset",
    "print_instances_class_histogram",
    "trivial_batch_collator",
    "worker_init_reset_seed",
]

logger = logging.getLogger(__name__)


def build_batch_data_loader(
    dataset: Any,
    sampler: torchdata.Sampler | None,
    total_batch_size: int,
    *,
    aspect_ratio_grouping: bool = False,
    num_workers: int = 0,
    collate_fn: Callable[[list[Any]], Any] | None = None,
    drop_last: bool = True,
    single_gpu_batch_size: int | None = None,
    prefetch_factor: int | None = 2,
    persistent_workers: bool = False,
    pin_memory: bool = False,
    seed: int | None = None,
    **kwargs: Any,
) -> Any:
    """An iterable of batches of the data set, for this process.

    Args:
        dataset: map-style, read in the order of the sampler; or iterable, without a sampler.
        sampler: yields indices.
        total_batch_size: over all processes, so a multiple of their number.
        aspect_ratio_grouping: whether batches are of wide or of tall images only; needs elements
            with ``width`` and ``height``.
        num_workers: loading processes of this process.
        collate_fn: makes a batch of a list of elements; the list itself by default.
        drop_last: whether a last, smaller batch is left out.
        single_gpu_batch_size: the batch size of this process, instead of ``total_batch_size``.
        prefetch_factor: batches that each worker prepares in advance.
        persistent_workers: keep workers when the data is exhausted.
        pin_memory: see torch.
        seed: of the workers' random numbers.
        kwargs: further arguments of ``torch.utils.data.DataLoader``.
    """
    batch_size = _batch_size_of_this_process(total_batch_size, single_gpu_batch_size)
    if isinstance(dataset, torchdata.IterableDataset):
        if sampler is not None:
            raise ValueError("An iterable data set has its own order; leave sampler at None.")
    else:
        if sampler is None:
            raise ValueError("A map-style data set needs a sampler.")
        dataset = ToIterableDataset(dataset, sampler, shard_chunk_size=batch_size)
    options = dict(kwargs, num_workers=num_workers, pin_memory=pin_memory)
    options["worker_init_fn"] = worker_init_reset_seed
    options["generator"] = None if seed is None else torch.Generator().manual_seed(seed)
    if num_workers > 0:
        options.update(prefetch_factor=prefetch_factor, persistent_workers=persistent_workers)
    collate = collate_fn or trivial_batch_collator
    if not aspect_ratio_grouping:
        options.update(batch_size=batch_size, drop_last=drop_last, collate_fn=collate)
        return torchdata.DataLoader(dataset, **options)
    if not drop_last:
        raise ValueError("aspect_ratio_grouping always drops incomplete batches: set drop_last.")
    # Workers hand over single elements; groups are made here, where all elements are seen.
    elements = torchdata.DataLoader(
        dataset, collate_fn=operator.itemgetter(0), drop_last=False, **options
    )
    grouped = AspectRatioGroupedDataset(elements, batch_size)
    return grouped if collate_fn is None else MapDataset(grouped, collate_fn)


def _batch_size_of_this_process(total: int, single: int | None) -> int:
    if single:
        if total:
            raise ValueError("Give total_batch_size or single_gpu_batch_size, not both.")
        return single
    processes = get_world_size()
    batch_size, rest = divmod(total, processes)
    assert batch_size > 0 == rest, (
        f"The total batch size ({total}) has to be a positive multiple of the number of processes "
        f"({processes})."
    )
    return batch_size


def _training_sampler(cfg: Any, dataset: Any) -> torchdata.Sampler:
    """The sampler that ``cfg.DATALOADER.SAMPLER_TRAIN`` names."""
    options, size = cfg.DATALOADER, len(dataset)

    def repeat_factor_sampler() -> torchdata.Sampler:
        to_factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency
        threshold, sqrt = options.REPEAT_THRESHOLD, options.REPEAT_SQRT
        return RepeatFactorTrainingSampler(to_factors(dataset, threshold, sqrt=sqrt))

    def random_subset_sampler() -> torchdata.Sampler:
        ratio = options.get("RANDOM_SUBSET_RATIO")
        if ratio is None:
            raise KeyError("RandomSubsetTrainingSampler needs DATALOADER.RANDOM_SUBSET_RATIO.")
        return RandomSubsetTrainingSampler(size, ratio)

    makers: dict[str, Callable[[], torchdata.Sampler]] = {
        "TrainingSampler": partial(TrainingSampler, size),
        "RepeatFactorTrainingSampler": repeat_factor_sampler,
        "RandomSubsetTrainingSampler": random_subset_sampler,
    }
    name = options.SAMPLER_TRAIN
    if name not in makers:
        raise ValueError(f"Unknown training sampler {name!r}; there is {', '.join(makers)}.")
    logger.info("Using training sampler %s", name)
    return makers[name]()


def _proposal_files(cfg: Any, phase: str) -> Sequence[str] | None:
    return cfg.DATASETS[f"PROPOSAL_FILES_{phase}"] if cfg.MODEL.LOAD_PROPOSALS else None


def _train_loader_from_config(
    cfg: Any,
    mapper: Callable[[Any], Any] | None = None,
    *,
    dataset: Any = None,
    sampler: torchdata.Sampler | None = None,
) -> dict[str, Any]:
    options = cfg.DATALOADER
    if dataset is None:
        dataset = get_detection_dataset_dicts(
            cfg.DATASETS.TRAIN,
            filter_empty=options.FILTER_EMPTY_ANNOTATIONS,
            proposal_files=_proposal_files(cfg, "TRAIN"),
        )
    if sampler is None and not isinstance(dataset, torchdata.IterableDataset):
        sampler = _training_sampler(cfg, dataset)
    return {
        "dataset": dataset,
        "mapper": DatasetMapper(cfg, True) if mapper is None else mapper,
        "sampler": sampler,
        "total_batch_size": cfg.SOLVER.IMS_PER_BATCH,
        "num_workers": options.NUM_WORKERS,
        "aspect_ratio_grouping": options.ASPECT_RATIO_GROUPING,
    }


@configurable(from_config=_train_loader_from_config)
def build_detection_train_loader(
    dataset: Any,
    *,
    mapper: Callable[[dict[str, Any]], Any] | None,
    sampler: torchdata.Sampler | None = None,
    total_batch_size: int,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    collate_fn: Callable[[list[Any]], Any] | None = None,
    **kwargs: Any,
) -> Any:
    """An endless iterable of training batches. Callable with a ``cfg`` instead, too.

    Args:
        dataset: a list of data set dictionaries, or a data set object.
        mapper: from a dictionary to the model's input; None for none.
        sampler: yields indices; a shuffling :class:`TrainingSampler` by default. None for an
            iterable data set, which has to shuffle and to shard itself.
        total_batch_size: over all processes.
        aspect_ratio_grouping, num_workers, collate_fn, kwargs: see
            :func:`build_batch_data_loader`.
    """
    dataset = _mapped(dataset, mapper)
    if sampler is None and not isinstance(dataset, torchdata.IterableDataset):
        sampler = TrainingSampler(len(dataset))
    kwargs.update(aspect_ratio_grouping=aspect_ratio_grouping, num_workers=num_workers)
    return build_batch_data_loader(
        dataset, sampler, total_batch_size, collate_fn=collate_fn, **kwargs
    )


def _mapped(dataset: Any, mapper: Callable[[Any], Any] | None) -> Any:
    if isinstance(dataset, list):
        dataset = DatasetFromList(dataset, copy=False)
    return dataset if mapper is None else MapDataset(dataset, mapper)


def _test_loader_from_config(
    cfg: Any, dataset_name: str | Sequence[str], mapper: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    names = [dataset_name] if isinstance(dataset_name, str) else list(dataset_name)
    proposal_files = _proposal_files(cfg, "TEST")
    if proposal_files is not None:
        file_of = dict(zip(cfg.DATASETS.TEST, proposal_files, strict=True))
        proposal_files = [file_of[name] for name in names]
    dataset = get_detection_dataset_dicts(names, filter_empty=False, proposal_files=proposal_files)
    return {
        "dataset": dataset,
        "mapper": DatasetMapper(cfg, False) if mapper is None else mapper,
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
    }


@configurable(from_config=_test_loader_from_config)
def build_detection_test_loader(
    dataset: list[Any] | torchdata.Dataset,
    *,
    mapper: Callable[[dict[str, Any]], Any],
    sampler: torchdata.Sampler | None = None,
    batch_size: int = 1,
    num_workers: int = 0,
    collate_fn: Callable[[list[Any]], Any] | None = None,
) -> torchdata.DataLoader:
    """A loader that sees each element once over all processes. Callable with ``cfg, name``, too.

    Args:
        dataset: a list of data set dictionaries, or a data set object.
        mapper: from a dictionary to the model's input.
        sampler: yields indices; an :class:`InferenceSampler` by default.
        batch_size: of this process.
        num_workers: loading processes of this process.
        collate_fn: makes a batch of a list of elements; the list itself by default.
    """
    elements: Any = _mapped(dataset, mapper)
    iterable = isinstance(elements, torchdata.IterableDataset)
    if iterable and sampler is not None:
        raise ValueError("An iterable data set has its own order; leave sampler at None.")
    if sampler is None and not iterable:
        sampler = InferenceSampler(len(elements))
    return torchdata.DataLoader(
        elements,
        batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate_fn or trivial_batch_collator,
    )


def trivial_batch_collator(batch: list[Any]) -> list[Any]:
    """The list of elements as it is: images of one batch differ in size."""
    return batch


def worker_init_reset_seed(worker_id: int) -> None:
    """Give each loading process random numbers of its own."""
    seed_all_rng(torch.initial_seed() % 2**31 + worker_id)


(_build_weighted_sampler, _get_train_datasets_repeat_factors) = unavailable(
    __name__, INTERNALS, "_build_weighted_sampler _get_train_datasets_repeat_factors"
)
