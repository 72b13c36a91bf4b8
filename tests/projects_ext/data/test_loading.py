"""The training loader: any number of workers, any place to start from, the same batches."""

import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset

from detectron2.config import get_cfg
from detectron2.data.samplers import RandomSubsetTrainingSampler, TrainingSampler
from detectron2.utils import comm
from projects_ext.data import build_train_loader, yaml_train_loader
from projects_ext.data.resumable import random_numbers_of
from projects_ext.errors import UserError

Batch = list[dict[str, Any]]


def records(count: int = 11) -> list[dict[str, Any]]:
    """Every third image is higher than wide."""
    return [
        {"file_name": f"{i}.jpg", "image_id": i, "width": 30 if i % 3 else 10, "height": 20}
        for i in range(count)
    ]


def draw(record: dict[str, Any]) -> dict[str, Any]:
    """Random numbers of all three kinds in place of augmentations."""
    return {**record, "drawn": (random.random(), float(np.random.rand()), float(torch.rand(())))}


def loader(**options: Any) -> Any:
    return build_train_loader(
        records(), **{"mapper": draw, "total_batch_size": 2, "seed": 3, **options}
    )


def first(count: int, batches: Any) -> list[Batch]:
    return list(itertools.islice(batches, count))


@pytest.fixture(scope="module")
def expected() -> list[Batch]:
    return first(20, loader())


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_workers(workers: int, expected: list[Batch]) -> None:
    assert first(20, loader(num_workers=workers)) == expected


def test_nor_on_the_random_state_which_stays_as_it_was(expected: list[Batch]) -> None:
    torch.manual_seed(4)
    np.random.seed(4)
    random.seed(4)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert first(20, loader()) == expected
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]


def test_each_epoch_has_all_images_and_augments_anew() -> None:
    batches = first(11, loader(aspect_ratio_grouping=False))
    elements = [element for batch in batches for element in batch]
    assert sorted(e["image_id"] for e in elements[:11]) == list(range(11))
    assert sorted(e["image_id"] for e in elements[11:]) == list(range(11))
    assert len({e["drawn"] for e in elements}) == 22


def test_batches_are_wide_or_high(expected: list[Batch]) -> None:
    shapes = [{element["width"] > element["height"] for element in batch} for batch in expected]
    assert all(len(shape) == 1 for shape in shapes)
    assert {True} in shapes
    assert {False} in shapes


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("served", [1, 8, 13])
def test_another_loader_goes_on_from_any_batch(
    served: int, workers: int, expected: list[Batch]
) -> None:
    begun = loader(num_workers=workers)
    assert first(served, begun) == expected[:served]
    resumed = loader(num_workers=workers, seed=99)
    resumed.load_state_dict(begun.state_dict())
    assert first(20 - served, resumed) == expected[served:]
    assert resumed.served == 20
    assert resumed.files == [element["file_name"] for element in expected[-1]]


def test_with_another_batch_size_the_order_is_new() -> None:
    begun = loader()
    ids = [element["image_id"] for batch in first(5, begun) for element in batch]
    resumed = loader(total_batch_size=5, aspect_ratio_grouping=False)
    resumed.load_state_dict(begun.state_dict())
    new = [element["image_id"] for batch in first(2, resumed) for element in batch]
    assert new != ids
    assert resumed.served == 2


def test_two_processes_share_the_images_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    options: Any = {"aspect_ratio_grouping": False, "seed": 3, "mapper": draw}
    alone = first(6, build_train_loader(records(), total_batch_size=4, **options))
    halves = []
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        halves.append(first(6, build_train_loader(records(), total_batch_size=4, **options)))
    for batch, even, odd in zip(alone, *halves, strict=True):
        assert batch == [even[0], odd[0], even[1], odd[1]]
    with pytest.raises(UserError, match=r"total_batch_size=3 .* give a multiple of 2"):
        build_train_loader(records(), total_batch_size=3, **options)


def test_a_sampler_keeps_its_seed_and_can_be_resumed() -> None:
    def subset() -> Any:
        return RandomSubsetTrainingSampler(11, 0.5, seed_shuffle=8, seed_subset=1)

    begun = loader(sampler=subset(), seed=None)
    batches = first(9, begun)
    assert begun.seed == 8
    assert len({element["image_id"] for batch in batches for element in batch}) == 5
    again = loader(sampler=subset(), seed=None)
    assert first(4, again) == batches[:4]
    resumed = loader(sampler=subset(), seed=None)
    resumed.load_state_dict(again.state_dict())
    assert first(5, resumed) == batches[4:]


def test_records_without_a_size_are_not_grouped() -> None:
    nameless = [{"file_name": f"{i}.jpg"} for i in range(4)]
    batches = first(2, build_train_loader(nameless, mapper=None, total_batch_size=2, seed=0))
    assert sorted(e["file_name"] for batch in batches for e in batch) == [
        f"{i}.jpg" for i in range(4)
    ]


def only_even(record: dict[str, Any]) -> dict[str, Any] | None:
    return None if record["image_id"] % 2 else record


def test_an_element_without_result_is_replaced_in_the_same_way() -> None:
    batches = first(8, loader(mapper=only_even))
    assert all(element["image_id"] % 2 == 0 for batch in batches for element in batch)
    assert first(8, loader(mapper=only_even, num_workers=1)) == batches
    with pytest.raises(RuntimeError, match="returned None for 100 elements"):
        next(iter(loader(mapper=lambda record: None)))


class Stream(IterableDataset[dict[str, Any]]):
    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(records())


def test_an_iterable_data_set_gets_detectron2s_own_loader() -> None:
    batches = build_train_loader(
        Stream(), mapper=draw, total_batch_size=2, aspect_ratio_grouping=False
    )
    assert [element["image_id"] for element in first(1, batches)[0]] == [0, 1]
    assert not hasattr(batches, "load_state_dict")


@pytest.mark.parametrize(
    "name", ["TrainingSampler", "RepeatFactorTrainingSampler", "RandomSubsetTrainingSampler"]
)
def test_yaml_samplers_depend_on_the_seed_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = get_cfg()
    cfg.DATALOADER.SAMPLER_TRAIN = name
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.3
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = 0.6
    cfg.DATALOADER.NUM_WORKERS = 0
    annotated = [{**r, "annotations": [{"category_id": r["image_id"] % 4}]} for r in records()]
    monkeypatch.chdir(tmp_path)
    for entry in annotated:
        Image.new("L", (entry["width"], entry["height"])).save(entry["file_name"])
    np.random.seed(0)
    made = yaml_train_loader(cfg, annotated)
    orders = [list(itertools.islice(made.make_sampler(seed), 30)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert made.batch_size == 16
    cfg.DATALOADER.SAMPLER_TRAIN = "Alphabetical"
    with pytest.raises(UserError, match="is Alphabetical: give TrainingSampler or RepeatF"):
        yaml_train_loader(cfg, annotated)


def test_random_numbers_of_a_position_are_its_own() -> None:
    with random_numbers_of(1, 5):
        first_draw = random.random(), np.random.rand(), torch.rand(2).tolist()
    with random_numbers_of(1, 6):
        other = random.random(), np.random.rand(), torch.rand(2).tolist()
    with random_numbers_of(1, 5):
        again = random.random(), np.random.rand(), torch.rand(2).tolist()
    assert first_draw == again
    assert first_draw != other


def test_the_default_order_is_detectron2s() -> None:
    ids = [e["image_id"] for batch in first(10, loader(aspect_ratio_grouping=False)) for e in batch]
    assert ids == list(itertools.islice(TrainingSampler(11, seed=3), 20))


def test_loading_processes_leave_signals_to_the_main_one(expected: list[Batch]) -> None:
    before = set(multiprocessing.active_children())
    batches = iter(loader(num_workers=1))
    assert first(1, batches) == expected[:1]
    (worker,) = set(multiprocessing.active_children()) - before
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGINT)
    assert first(9, batches) == expected[1:10]
    # From a third process: PyTorch takes one from the main process for its own.
    subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    worker.join(timeout=10)
    time.sleep(0.1)  # a killed one would raise an exception here
    assert worker.exitcode == 0
