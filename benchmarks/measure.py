"""What every benchmark shares: time, peak memory, the machine, tables."""

import gc
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

MIB = 2**20


@dataclass(frozen=True)
class Result:
    """One case.

    Attributes:
        case: what was measured.
        seconds: median time of one repetition; 0 where only memory is measured.
        peak_mib: memory that it took on top of what was there before, at its highest, in MiB.
        images: images of one repetition; 0 where that means nothing.
    """

    case: str
    seconds: float
    peak_mib: float
    images: int = 0

    @property
    def images_per_second(self) -> float:
        """How many images a second of one repetition got through."""
        return self.images / self.seconds


def status_mib(field: str, process: str = "self") -> float:
    """A field of the process's memory as Linux counts it, such as VmRSS, in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(f"/proc/{process}/status has no {field}")


class PeakMemory:
    """Within it, how far memory rises above what is held at the start: of the GPU, or resident."""

    def __init__(self, device: str = "cpu") -> None:
        self.on_gpu = torch.device(device).type == "cuda"
        self.mib = 0.0

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated() / MIB
        else:
            # "5" sets the peak of resident memory (VmHWM) back to what is resident now.
            Path("/proc/self/clear_refs").write_text("5")
            self._before = status_mib("VmRSS")
        return self

    def __exit__(self, *error: object) -> None:
        after = torch.cuda.max_memory_allocated() / MIB if self.on_gpu else status_mib("VmHWM")
        self.mib = max(after - self._before, 0.0)


def time_once(run: Callable[[], object], device: str = "cpu") -> float:
    """Seconds of one call, with the GPU's work in it."""
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(
    case: str,
    run: Callable[[], object],
    *,
    images: int = 0,
    warmup: int = 1,
    repeat: int = 5,
    device: str = "cpu",
) -> Result:
    """The median time of ``repeat`` calls after ``warmup`` others, and their peak memory."""
    with PeakMemory(device) as memory:
        for _ in range(warmup):
            run()
        seconds = [time_once(run, device) for _ in range(repeat)]
    return Result(case, statistics.median(seconds), memory.mib, images)


def measure_in_turns(
    runs: dict[str, Callable[[], object]], *, warmup: int = 1, repeat: int = 5, device: str = "cpu"
) -> list[Result]:
    """Several ways of the same, in turns, so that a noisy machine is noisy for all of them.

    Memory is measured apart, in one call of each after the times.
    """
    for _ in range(warmup):
        for run in runs.values():
            run()
    seconds: dict[str, list[float]] = {case: [] for case in runs}
    for _ in range(repeat):
        for case, run in runs.items():
            seconds[case].append(time_once(run, device))
    results = []
    for case, run in runs.items():
        with PeakMemory(device) as memory:
            run()
        results.append(Result(case, statistics.median(seconds[case]), memory.mib))
    return results


def apart(run: Callable[..., Result], *args: Any) -> Result:
    """``run(*args)`` in a process of its own: memory that others have freed is not there to use.

    Args:
        run: a function of a module.
        args: its arguments, which must be picklable.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run, *args).result()


def environment() -> str:
    """Date, machine and versions in two lines."""
    import torchvision

    import detectron2

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    core = getattr(detectron2, "__implementation__", "") == "core"
    return (
        f"{date.today()} · {device} · {torch.get_num_threads()} threads · {platform.system()}\n"
        f"Python {platform.python_version()} · torch {torch.__version__} · "
        f"torchvision {torchvision.__version__} · "
        f"{'detectron2-core' if core else 'Detectron2'} {detectron2.__version__}"
    )


def processor() -> str:
    """The CPU's name, and how many cores of it may be used."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else platform.machine()}"


def table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    """A table in Markdown, numbers to three digits."""
    return tabulate(rows, headers=headers, tablefmt="github", floatfmt=".3g")


def report(results: Sequence[Result], json_file: str = "") -> None:
    """Print the environment and the results; write the latter to a file as well, if there is one.

    The file is what :mod:`benchmarks.compare` reads.
    """
    rows = [
        [r.case, r.seconds or None, r.images_per_second if r.images else None, round(r.peak_mib)]
        for r in results
    ]
    print(environment(), table(rows, ["case", "s", "images/s", "peak MiB"]), sep="\n\n")
    if json_file:
        content = {"environment": environment(), "results": [asdict(r) for r in results]}
        Path(json_file).write_text(json.dumps(content))
