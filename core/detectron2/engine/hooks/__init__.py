"""Hooks for what a run does beside training: timing, schedules, checkpoints, evaluation."""

from ..train_loop import HookBase as HookBase
from .callbacks import CallbackHook
from .callbacks import TrainerCallback as TrainerCallback
from .checkpoints import BestCheckpointer, PeriodicCheckpointer
from .evaluation import EvalHook, PreciseBN
from .profiling import AutogradProfiler, TorchProfiler
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
    "TorchProfiler",
]
