"""Hooks for what a run does beside training: timing, schedules, checkpoints, evaluation."""

from detectron2.evaluation.testing import flatten_results_dict  # noqa: F401
from detectron2.solver.lr_scheduler import LRMultiplier  # noqa: F401
from detectron2.utils.events import EventStorage, EventWriter  # noqa: F401

from ..train_loop import HookBase as HookBase
from .callbacks import CallbackHook
from .callbacks import TrainerCallback as TrainerCallback
from .checkpoints import BestCheckpointer, PeriodicCheckpointer
from .evaluation import EvalHook, PreciseBN
from .profiling import AutogradProfiler, TorchMemoryStats, TorchProfiler
from .schedule import LRScheduler
from .timing import IterationTimer, PeriodicWriter

__all__ = [
    "AutogradProfiler",
    "BestCheckpointer",
    "CallbackHook",
    "EvalHook",
    "IterationTimer",
    "LRScheduler",
    "PeriodicCheckpointer",
    "PeriodicWriter",
    "PreciseBN",
    "TorchMemoryStats",
    "TorchProfiler",
]
