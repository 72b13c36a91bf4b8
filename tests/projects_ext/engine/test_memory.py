"""What a process frees stays with it: repeated allocations cost no page faults."""

import multiprocessing
import os
import resource
import sys

import pytest

from projects_ext.engine.memory import CHOSEN_BY_USER, keep_freed_memory

SIZE = 64 * 2**20
REPETITIONS = 5

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of glibc")


def page_faults_per_allocation(keep: bool) -> float:
    """In units of the pages of one allocation. Run it in a process of its own."""
    done = keep_freed_memory() if keep else False
    assert done == keep
    bytearray(SIZE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(REPETITIONS):
        bytearray(SIZE)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return faults * resource.getpagesize() / (REPETITIONS * SIZE)


def in_own_process(keep: bool) -> float:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(page_faults_per_allocation, (keep,))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(CHOSEN_BY_USER):
            monkeypatch.delenv(name)


@linux_only
def test_freed_memory_is_used_again():
    # Large pages of the kernel may make faults cheaper than one per page, never absent.
    assert in_own_process(keep=True) < 0.1 * in_own_process(keep=False)


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_what_the_user_has_chosen_stays(monkeypatch, name):
    monkeypatch.setenv(name, "0")
    assert not keep_freed_memory()
