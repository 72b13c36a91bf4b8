"""Training and test loaders: as Detectron2's, resumable, with errors that name the file."""

import copy
import logging
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, Sampler

from detectron2.config import CfgNode
from detectron2.data import (
    DatasetFromList,
    DatasetMapper,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data.build import trivial_batch_collator
from detectron2.data.samplers import (
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)
from detectron2.utils import comm
from projects_ext.errors import UserError

from .datasets import dataset_errors
from .reading import Mapper, ReadingErrors
from .resumable import ResumableLoader
from .sampling import named_sampler

logger = logging.getLogger("detectron2.projects_ext")

SamplerMaker = Callable[[int], Sampler[int]]


def build_train_loader(
    dataset: Any,
    *,
    mapper: Mapper | None,
    sampler: Sampler[int] | SamplerMaker | str | None = None,
    repeat_threshold: float | None = None,
    total_batch_size: int,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    collate_fn: Callable[[list[Any]], Any] | None = None,
    seed: int | None = None,
    **options: Any,
) -> Any:
    """As Detectron2's ``build_detection_train_loader``, but a run can resume to the very batch.

    Args:
        dataset: a list of data set dictionaries or a map-style data set of such. An iterable one
            has its own order; it gets Detectron2's loader, which starts from the beginning.
        mapper: from a dictionary to a model's input; None for none.
        sampler: endless indices of this process, or what makes it from a seed; by default a
            shuffling ``TrainingSampler``. To be resumed, its order must depend on its seed alone.
            By name ``repeat_factor`` or ``class_balanced``, where some classes are rare; see
            :mod:`projects_ext.data.sampling`.
        repeat_threshold: of ``repeat_factor``.
        total_batch_size: over all processes.
        aspect_ratio_grouping: batches of only wide or only other images, where the dictionaries
            have ``width`` and ``height``.
        num_workers: loading processes of this process; batches do not depend on it.
        collate_fn: makes a batch of a list of inputs; the list itself by default.
        seed: of order and augmentations; by default drawn from NumPy's random state.
        options: further arguments of ``torch.utils.data.DataLoader``.

    Raises:
        UserError: the batch size is no multiple of the number of processes; or an image cannot be
            read as it is (at first the headers of a sample are looked at).
    """
    mapper = None if mapper is None else _reading(dataset, fitting_mask_format(mapper, dataset))
    if isinstance(sampler, str):
        sampler = named_sampler(sampler, dataset, repeat_threshold)
    options.update(num_workers=num_workers)
    if isinstance(dataset, IterableDataset):
        options.update(total_batch_size=total_batch_size, collate_fn=collate_fn)
        options.update(aspect_ratio_grouping=aspect_ratio_grouping)
        return build_detection_train_loader(dataset, mapper=mapper, **options)
    if seed is None:
        seed = getattr(sampler, "_seed", None)  # as Detectron2's samplers call it
    seed = comm.shared_random_seed() if seed is None else seed
    is_wide = _wide_images(dataset) if aspect_ratio_grouping else None
    if isinstance(dataset, list):
        dataset = DatasetFromList(dataset, copy=False)
    options.setdefault("worker_init_fn", leave_signals_to_the_main_process)
    return ResumableLoader(
        dataset,
        mapper,
        _sampler_maker(sampler, len(dataset)),
        _batch_size_of_this_process(total_batch_size),
        is_wide=is_wide,
        seed=seed,
        collate_fn=collate_fn or trivial_batch_collator,
        **options,
    )


def fitting_mask_format(mapper: Mapper, dataset: Any) -> Mapper:
    """A mapper that can read the masks of a data set: as bitmaps where any has run lengths.

    Args:
        mapper: changed only if it is like Detectron2's, with an ``instance_mask_format``.
        dataset: looked through only if it is a list of dictionaries.
    """
    if getattr(mapper, "instance_mask_format", None) != "polygon" or not isinstance(dataset, list):
        return mapper
    if not getattr(mapper, "use_instance_mask", True):
        return mapper
    objects = (a for record in dataset for a in record.get("annotations", ()))
    if not any(isinstance(a.get("segmentation"), dict) and not a.get("iscrowd") for a in objects):
        return mapper
    logger.info("Masks are read as bitmaps: some of them are run lengths, not polygons")
    fitting: Any = copy.copy(mapper)
    fitting.instance_mask_format = "bitmask"
    return fitting


def build_test_loader(dataset: Any, *, mapper: Mapper | None, **options: Any) -> Any:
    """Detectron2's ``build_detection_test_loader``, with errors that name the image file.

    Raises:
        UserError: an image cannot be read as it is; the headers of a sample are looked at.
    """
    if mapper is not None:
        if getattr(mapper, "is_train", False):  # it reads masks, for losses on validation data
            mapper = fitting_mask_format(mapper, dataset)
        mapper = _reading(dataset, mapper)
    return build_detection_test_loader(dataset, mapper=mapper, **options)


def _reading(dataset: Any, mapper: Mapper) -> ReadingErrors:
    """The mapper with errors that name files; a list of records is looked at before."""
    reading = ReadingErrors(mapper)
    if isinstance(dataset, list):
        reading.look_at(dataset)
    return reading


def yaml_train_loader(cfg: CfgNode, dataset: Any, mapper: Mapper | None = None) -> Any:
    """The training loader of a YAML config.

    Args:
        cfg: with Detectron2's keys under DATALOADER, INPUT and SOLVER.
        dataset: what ``get_detection_dataset_dicts`` returned for ``cfg.DATASETS.TRAIN``.
        mapper: a ``DatasetMapper`` of ``cfg`` by default.
    """
    options = cfg.DATALOADER
    return build_train_loader(
        dataset,
        mapper=mapper or DatasetMapper(cfg, True),
        sampler=_yaml_sampler(options, dataset),
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=options.ASPECT_RATIO_GROUPING,
        num_workers=options.NUM_WORKERS,
    )


def yaml_test_loader(cfg: CfgNode, dataset_name: str, mapper: Mapper | None = None) -> Any:
    """The test loader of a YAML config for one of ``cfg.DATASETS.TEST``."""
    files = None
    if cfg.MODEL.LOAD_PROPOSALS:
        index = list(cfg.DATASETS.TEST).index(dataset_name)
        files = [cfg.DATASETS.PROPOSAL_FILES_TEST[index]]
    with dataset_errors():
        dataset = get_detection_dataset_dicts(
            dataset_name, filter_empty=False, proposal_files=files
        )
    workers = cfg.DATALOADER.NUM_WORKERS
    mapper = mapper or DatasetMapper(cfg, False)
    return build_test_loader(dataset, mapper=mapper, num_workers=workers)


def _yaml_sampler(options: CfgNode, dataset: Any) -> SamplerMaker | None:
    name = options.SAMPLER_TRAIN
    names = ["TrainingSampler", "RepeatFactorTrainingSampler"]
    if "RANDOM_SUBSET_RATIO" in options:  # Detectron2 reads this key without having it
        names.append("RandomSubsetTrainingSampler")
    if name not in names:
        raise UserError(f"DATALOADER.SAMPLER_TRAIN is {name}: give {' or '.join(names)}")
    if name == "TrainingSampler" or isinstance(dataset, IterableDataset):
        return None
    if name == "RepeatFactorTrainingSampler":
        to_factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency
        factors = to_factors(dataset, options.REPEAT_THRESHOLD, sqrt=options.REPEAT_SQRT)
        return lambda seed: RepeatFactorTrainingSampler(factors, seed=seed)
    size, ratio = len(dataset), options.RANDOM_SUBSET_RATIO
    return lambda seed: RandomSubsetTrainingSampler(
        size, ratio, seed_shuffle=seed, seed_subset=seed
    )


def leave_signals_to_the_main_process(worker_id: int) -> None:
    """Ctrl-C reaches every process, and so may SIGTERM; it is the main one that ends the run.

    A loading process ignores the first, since its data are wanted until all is saved, and ends
    silently after the second: killed by it, it would interrupt the main process wherever that is.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def _sampler_maker(sampler: Sampler[int] | SamplerMaker | None, size: int) -> SamplerMaker:
    if sampler is None:
        return lambda seed: TrainingSampler(size, seed=seed)
    if not isinstance(sampler, Sampler):
        return sampler
    given = sampler

    def reseeded(seed: int) -> Sampler[int]:
        if hasattr(given, "_seed"):
            given._seed = seed
        return given

    return reseeded


def _wide_images(dataset: Any) -> np.ndarray | None:
    """For each record whether it is wider than high; None if records do not say."""
    records = dataset if isinstance(dataset, list) else (dataset[i] for i in range(len(dataset)))
    try:
        return np.array([record["width"] > record["height"] for record in records])
    except (KeyError, TypeError):
        logger.info("No grouping by aspect ratio: the data set does not say how large images are")
        return None


def _batch_size_of_this_process(total: int) -> int:
    processes = comm.get_world_size()
    if total < processes or total % processes:
        raise UserError(
            f"dataloader.train.total_batch_size={total} (YAML: SOLVER.IMS_PER_BATCH) cannot be "
            f"shared by {processes} processes: give a multiple of {processes}"
        )
    return total // processes
