"""Samplers: the streams of given seeds, sharding, repeat factors."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import SequentialSampler

from detectron2.data.samplers import (
    GroupedBatchSampler,
    InferenceSampler,
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)
from detectron2.utils import comm


def take(sampler, count):
    return list(itertools.islice(iter(sampler), count))


def as_rank(monkeypatch, rank, world_size):
    monkeypatch.setattr(comm, "get_rank", lambda: rank)
    monkeypatch.setattr(comm, "get_world_size", lambda: world_size)


def test_stream_of_a_seed():
    generator = torch.Generator().manual_seed(5)
    epochs = [torch.randperm(7, generator=generator).tolist() for _ in range(3)]
    assert take(TrainingSampler(7, seed=5), 21) == list(itertools.chain(*epochs))


def test_without_shuffling():
    assert take(TrainingSampler(3, shuffle=False), 7) == [0, 1, 2, 0, 1, 2, 0]


def test_ranks_share_one_stream(monkeypatch):
    whole = take(TrainingSampler(5, seed=3), 20)
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        assert take(TrainingSampler(5, seed=3), 10) == whole[rank::2]


@pytest.mark.parametrize("size", [0, -1])
def test_empty_data_is_refused(size):
    with pytest.raises(ValueError, match="size"):
        TrainingSampler(size)


@pytest.mark.parametrize("shuffle", [True, False])
def test_random_subset(shuffle):
    sampler = RandomSubsetTrainingSampler(20, 0.25, shuffle, seed_shuffle=1, seed_subset=2)
    subset = torch.randperm(20, generator=torch.Generator().manual_seed(2))[:5]
    stream = take(sampler, 15)
    for epoch in (stream[:5], stream[5:10], stream[10:]):
        assert sorted(epoch) == sorted(subset.tolist())
    order = torch.randperm(5, generator=torch.Generator().manual_seed(1))
    assert stream[:5] == (subset[order] if shuffle else subset).tolist()


def test_repeat_factors_follow_the_rarest_category():
    images = [[0], [0, 1], [0], []]
    dicts = [{"annotations": [{"category_id": c} for c in cs]} for cs in images]
    to_factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency
    torch.testing.assert_close(to_factors(dicts, 0.5), torch.tensor([1.0, 2**0.5, 1.0, 1.0]))
    torch.testing.assert_close(
        to_factors(dicts, 0.5, sqrt=False), torch.tensor([1.0, 2.0, 1.0, 1.0])
    )


def test_repeat_factor_stream():
    factors = torch.tensor([2.0, 1.0, 0.0, 1.5])
    assert take(RepeatFactorTrainingSampler(factors, shuffle=False, seed=0), 4)[:3] == [0, 0, 1]
    counts = np.bincount(take(RepeatFactorTrainingSampler(factors, seed=0), 4500), minlength=4)
    np.testing.assert_allclose(counts / counts[1], [2, 1, 0, 1.5], atol=0.05)


@pytest.mark.parametrize(("size", "world_size"), [(7, 3), (2, 4), (8, 2)])
def test_inference_shares_are_contiguous_and_complete(monkeypatch, size, world_size):
    shares = []
    for rank in range(world_size):
        as_rank(monkeypatch, rank, world_size)
        sampler = InferenceSampler(size)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1])
    assert list(itertools.chain(*shares)) == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_batches_of_one_group():
    groups = [0, 1, 1, 0, 0, 1, 0]
    sampler = GroupedBatchSampler(SequentialSampler(groups), groups, 2)
    assert [*iter(sampler)] == [[1, 2], [0, 3], [4, 6]]
    # What was left over, 5, comes first in the next pass.
    assert next(iter(sampler)) == [5, 1]
    with pytest.raises(NotImplementedError):
        len(sampler)
    with pytest.raises(ValueError, match="sampler"):
        GroupedBatchSampler([1, 2], [0, 0], 2)
