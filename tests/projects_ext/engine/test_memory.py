"""What a process frees stays with it: repeated allocations cost no page faults."""

import os
import subprocess
import sys

import pytest

from projects_ext.engine import memory
from projects_ext.engine.memory import CHOSEN_BY_USER, keep_freed_memory

SIZE = 64 * 2**20
REPETITIONS = 5

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of glibc")


PROGRAM = f"""
import resource, runpy, sys
keep_freed_memory = runpy.run_path(sys.argv[1])["keep_freed_memory"]
if sys.argv[2] == "keep":
    assert keep_freed_memory()
bytearray({SIZE})
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({REPETITIONS}):
    bytearray({SIZE})
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(what: str) -> int:
    """Of allocations that are freed at once, in a process that has done nothing else."""
    words = [sys.executable, "-c", PROGRAM, memory.__file__, what]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(CHOSEN_BY_USER):
            monkeypatch.delenv(name)


@linux_only
def test_freed_memory_is_used_again() -> None:
    # Large pages of the kernel make faults rarer than one per page, never absent.
    assert page_faults("keep") < 0.2 * page_faults("give back")


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_what_the_user_has_chosen_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "0")
    assert not keep_freed_memory()
