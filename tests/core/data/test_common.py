"""Wrappers of data sets: what they hand out, in one process and in several."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, SequentialSampler

from detectron2.data import DatasetFromList, MapDataset, ToIterableDataset
from detectron2.data.common import AspectRatioGroupedDataset
from detectron2.data.samplers import TrainingSampler


@pytest.mark.parametrize("serialize", [True, False])
def test_list_elements_are_copies(serialize):
    dicts = [{"image_id": i, "boxes": [i] * i} for i in range(5)]
    dataset = DatasetFromList(dicts, copy=True, serialize=serialize)
    assert len(dataset) == 5
    assert [dataset[i] for i in range(5)] == dicts
    dataset[3]["boxes"].append("changed")
    assert dataset[3]["boxes"] == [3, 3, 3]


def test_list_without_copy_hands_out_the_elements():
    dicts = [{"a": 1}]
    assert DatasetFromList(dicts, copy=False, serialize=False)[0] is dicts[0]


def test_list_with_own_serialization():
    assert DatasetFromList([1, 2], serialize=lambda lst: [10 * x for x in lst])[1] == 20


@pytest.mark.core_only(reason="upstream's buffers have other names, and no check of the index")
def test_serialized_list_is_one_tensor():
    dataset = DatasetFromList([{"a": np.arange(1000)}, {"b": 2}])
    tensors = [v for v in vars(dataset._lst).values() if isinstance(v, torch.Tensor)]
    assert sum(t.numel() * t.element_size() for t in tensors) > 8000
    assert len(pickle.dumps(dataset)) < 20000
    assert dataset[-1] == {"b": 2}
    with pytest.raises(IndexError, match="2 elements"):
        dataset[2]


def test_map_applies_the_function():
    dataset = MapDataset(DatasetFromList([1, 2, 3]), lambda x: x * 10)
    assert [dataset[i] for i in range(3)] == [10, 20, 30]


@pytest.mark.core_only(reason="upstream draws from a set, which Python 3.11 refuses")
def test_map_replaces_none_by_another_element():
    dataset = MapDataset(DatasetFromList(list(range(10))), lambda x: x if x % 2 else None)
    assert all(dataset[i] % 2 == 1 for i in range(10))
    with pytest.raises(RuntimeError, match="all 2 elements"):
        MapDataset([1, 2], lambda x: None)[0]


class Numbers(IterableDataset):
    def __iter__(self):
        return iter(range(6))


def test_map_of_an_iterable_is_iterable_and_skips_none():
    dataset = MapDataset(Numbers(), lambda x: x if x % 2 else None)
    assert isinstance(dataset, IterableDataset)
    assert list(dataset) == [1, 3, 5]


def test_map_dataset_can_be_pickled():
    dataset = pickle.loads(pickle.dumps(MapDataset([1, -2], abs)))
    assert [dataset[0], dataset[1]] == [1, 2]


@pytest.mark.parametrize("chunk", [1, 2])
def test_workers_share_the_stream(chunk):
    dataset = ToIterableDataset(
        list(range(100, 108)), SequentialSampler(range(8)), shard_chunk_size=chunk
    )
    assert len(dataset) == 8
    single = DataLoader(dataset, batch_size=2, num_workers=0)
    double = DataLoader(dataset, batch_size=2, num_workers=2)
    expected = {1: [[100, 102], [101, 103], [104, 106], [105, 107]]}
    batches = [batch.tolist() for batch in double]
    assert batches == expected.get(chunk, [batch.tolist() for batch in single])


def test_unsharded_workers_see_everything():
    dataset = ToIterableDataset(list(range(4)), SequentialSampler(range(4)), shard_sampler=False)
    seen = [int(x) for x in DataLoader(dataset, batch_size=None, num_workers=2)]
    assert sorted(seen) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_groups_are_wide_or_tall():
    sizes = [(4, 3), (3, 4), (3, 4), (5, 5), (6, 2), (1, 2)]
    dicts = [{"id": i, "width": w, "height": h} for i, (w, h) in enumerate(sizes)]
    batches = list(AspectRatioGroupedDataset(dicts, 2))
    assert [[d["id"] for d in batch] for batch in batches] == [[1, 2], [0, 4], [3, 5]]


def test_what_waits_for_its_group_is_not_lost():
    dicts = [{"id": i, "width": 1 + (i % 2), "height": 1} for i in range(3)]
    dataset = AspectRatioGroupedDataset(dicts, 2)
    assert [[d["id"] for d in batch] for batch in dataset] == [[0, 2]]
    # Nor is it there twice if an iteration ends early.
    assert [d["id"] for d in next(iter(dataset))] == [1, 1]
    assert [len(bucket) for bucket in dataset._buckets] == [0, 1]


def test_endless_sampler_through_a_loader():
    dataset = ToIterableDataset(list(range(5)), TrainingSampler(5, seed=1))
    loader = iter(DataLoader(dataset, batch_size=None))
    first = [int(next(loader)) for _ in range(10)]
    assert sorted(first[:5]) == sorted(first[5:]) == [0, 1, 2, 3, 4]
