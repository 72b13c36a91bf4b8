"""Measurements of loading: what they run through, not how fast it is."""

import logging

import pytest

from detectron2.data.benchmark import DataLoaderBenchmark, iter_benchmark


def double(sample):
    return {"value": 2 * sample["value"], "width": 4, "height": 3}


def test_timing_an_iterable():
    average, times = iter_benchmark(range(20), 5, warmup=2)
    assert len(times) == 5
    assert average > 0
    with pytest.raises(StopIteration):
        iter_benchmark(range(3), 5, warmup=1)


def test_it_ends_in_time():
    _, times = iter_benchmark(iter(int, 1), 10**9, warmup=0, max_time_seconds=0.01)
    assert 0 < len(times) < 10**9


@pytest.mark.core_only("upstream uses an argument that NumPy 2 has dropped")
def test_all_measurements(caplog):
    samples = [{"value": i} for i in range(10)]
    benchmark = DataLoaderBenchmark(samples, mapper=double, total_batch_size=2, num_workers=1)
    with caplog.at_level(logging.INFO, logger="detectron2.data.benchmark"):
        benchmark.benchmark_dataset(30, warmup=1)
        benchmark.benchmark_mapper(30, warmup=1)
        benchmark.benchmark_workers(3, warmup=1)
        benchmark.benchmark_IPC(3, warmup=1)
        benchmark.benchmark_distributed(3, warmup=1)
    for title in (
        "Dataset Alone: avg=",
        "Single Process Mapper",
        "DataLoader (0 workers, bs=2): avg=",
        "DataLoader (1 workers, bs=2): avg=",
        "DataLoader (1 workers, bs=2) w/o comm: avg=",
        "startup time",
        "GPU0 DataLoader (1 GPUs x 1 workers, total bs=2): avg=",
    ):
        assert title in caplog.text
