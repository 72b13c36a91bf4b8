"""Profiles of chosen iterations."""

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from ..train_loop import HookBase


class TorchProfiler(HookBase):
    """Profiles iterations with ``torch.profiler`` and writes the results.

    Without TensorBoard's format, files are ``OUTPUT_DIR/profiler-trace-iterN.json``, which
    ``chrome://tracing`` shows. The first iterations are slower than the rest and say little.

    Args:
        enable_predicate: called with the trainer before each iteration: whether to profile it.
        output_dir: where to write to.
        activities: as for ``torch.profiler.profile``.
        save_tensorboard: write to ``output_dir/log`` for TensorBoard's profiler instead.
    """

    def __init__(
        self,
        enable_predicate: Callable[[Any], bool],
        output_dir: str,
        *,
        activities: Iterable[Any] | None = None,
        save_tensorboard: bool = True,
    ) -> None:
        self._enable_predicate, self._output_dir = enable_predicate, output_dir
        self._activities, self._save_tensorboard = activities, save_tensorboard
        self._profiler: Any = None

    def _make_profiler(self) -> Any:
        on_trace_ready = None
        if self._save_tensorboard:
            folder = f"profiler-tensorboard-iter{self.trainer.iter}"
            on_trace_ready = torch.profiler.tensorboard_trace_handler(
                os.path.join(self._output_dir, "log", folder), f"worker{comm.get_rank()}"
            )
        return torch.profiler.profile(
            activities=self._activities,
            on_trace_ready=on_trace_ready,
            record_shapes=True,
            profile_memory=True,
            with_stack=True,
            with_flops=True,
        )

    def before_step(self) -> None:
        """Begin a profile, if this iteration gets one."""
        self._profiler = None
        if self._enable_predicate(self.trainer):
            self._profiler = self._make_profiler()
            self._profiler.__enter__()

    def after_step(self) -> None:
        """End the profile, and write it."""
        if self._profiler is None:
            return
        self._profiler.__exit__(None, None, None)
        if self._save_tensorboard:
            return
        PathManager.mkdirs(self._output_dir)
        name = f"profiler-trace-iter{self.trainer.iter}.json"
        # The profiler writes local files only; the folder may be elsewhere.
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, name)
            self._profiler.export_chrome_trace(path)
            PathManager.copy_from_local(path, os.path.join(self._output_dir, name), overwrite=True)


class AutogradProfiler(TorchProfiler):
    """The older profiler, ``torch.autograd.profiler``; deprecated.

    Args:
        enable_predicate, output_dir: see :class:`TorchProfiler`.
        use_cuda: also measure on the GPU.
    """

    def __init__(
        self, enable_predicate: Callable[[Any], bool], output_dir: str, *, use_cuda: bool = True
    ) -> None:
        warnings.warn("AutogradProfiler is deprecated: use TorchProfiler.", stacklevel=2)
        super().__init__(enable_predicate, output_dir, save_tensorboard=False)
        self._use_cuda = use_cuda

    def _make_profiler(self) -> Any:
        device = "cuda" if self._use_cuda else None
        return torch.autograd.profiler.profile(use_device=device)


class TorchMemoryStats(HookBase):
    """Logs how much GPU memory PyTorch uses, in MiB, and its own summary with the last line.

    Args:
        period: iterations between two lines.
        max_runs: how many lines.
    """

    def __init__(self, period: int = 20, max_runs: int = 10) -> None:
        self._period, self._max_runs, self._runs = period, max_runs, 0

    def after_step(self) -> None:
        """Log, where it is due."""
        iteration = self.trainer.iter
        due = (iteration + 1) % self._period == 0 or iteration == self.trainer.max_iter - 1
        if not due or self._runs > self._max_runs or not torch.cuda.is_available():
            return
        logger = logging.getLogger(__name__)
        kinds = ("max_memory_reserved", "memory_reserved", "max_memory_allocated")
        values = {kind: getattr(torch.cuda, kind)() for kind in (*kinds, "memory_allocated")}
        shown = ", ".join(f"{kind}: {value / 2**20:.0f} MiB" for kind, value in values.items())
        logger.info("Iteration %d: %s", iteration, shown)
        self._runs += 1
        if self._runs == self._max_runs:
            logger.info(torch.cuda.memory_summary())
        torch.cuda.reset_peak_memory_stats()
