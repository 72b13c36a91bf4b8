"""Hooks for what a run does beside training: timing, schedules, checkpoints, evaluation."""

import datetime
import itertools
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal

import torch
from fvcore.common.checkpoint import Checkpointer
from fvcore.common.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer
from fvcore.common.param_scheduler import ParamScheduler
from fvcore.common.timer import Timer
from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from detectron2.evaluation.testing import flatten_results_dict
from detectron2.solver import LRMultiplier
from detectron2.solver import LRScheduler as TorchLRScheduler
from detectron2.utils import comm
from detectron2.utils.events import EventStorage, EventWriter

from .train_loop import HookBase

__all__ = [
    "BestCheckpointer",
    "CallbackHook",
    "EvalHook",
    "IterationTimer",
    "LRScheduler",
    "PeriodicCheckpointer",
    "PeriodicWriter",
    "PreciseBN",
]

logger = logging.getLogger(__name__)

TrainerCallback = Callable[[Any], Any]


def _is_due(hook: HookBase, period: int) -> bool:
    """Whether the iteration that just ended is a multiple of ``period`` (counting from 1)."""
    return period > 0 and (hook.trainer.iter + 1) % period == 0


def _is_last(hook: HookBase) -> bool:
    """Whether the iteration that just ended is the last one."""
    return bool(hook.trainer.iter + 1 >= hook.trainer.max_iter)


class CallbackHook(HookBase):
    """A hook made of functions, each of which gets the trainer."""

    def __init__(
        self,
        *,
        before_train: TrainerCallback | None = None,
        after_train: TrainerCallback | None = None,
        before_step: TrainerCallback | None = None,
        after_step: TrainerCallback | None = None,
    ) -> None:
        self._callbacks = {
            "before_train": before_train,
            "before_step": before_step,
            "after_step": after_step,
            "after_train": after_train,
        }

    def _call(self, stage: str) -> None:
        callback = self._callbacks[stage]
        if callback is not None:
            callback(self.trainer)

    def before_train(self) -> None:
        """Call the function given for it."""
        self._call("before_train")

    def before_step(self) -> None:
        """Call the function given for it."""
        self._call("before_step")

    def after_step(self) -> None:
        """Call the function given for it."""
        self._call("after_step")

    def after_train(self) -> None:
        """Call the function given for it, and let go of all: they may hold the trainer."""
        self._call("after_train")
        self._callbacks = dict.fromkeys(self._callbacks)


class IterationTimer(HookBase):
    """Records each iteration's seconds as ``time`` and logs the run's overall speed at its end.

    Register it first: an iteration's time is then that of the step itself, and what the hooks do
    after the step (checkpoints, evaluation) counts as time "on hooks".

    Args:
        warmup_iter: the first iterations are slow and not representative: so many are left out.
    """

    def __init__(self, warmup_iter: int = 3) -> None:
        self._warmup_iter = warmup_iter
        self._step_timer, self._total_timer = Timer(), Timer()
        self._start_time = time.perf_counter()
        self._timed_steps = 0

    def _restart(self) -> None:
        self._start_time = time.perf_counter()
        self._timed_steps = 0
        self._total_timer.reset()

    def before_train(self) -> None:
        """Start the clocks."""
        self._restart()
        self._total_timer.pause()

    def before_step(self) -> None:
        """Time an iteration."""
        self._step_timer.reset()
        self._total_timer.resume()

    def after_step(self) -> None:
        """Record the iteration's time, once warm."""
        storage = self.trainer.storage
        if storage.iter - self.trainer.start_iter + 1 >= self._warmup_iter:
            self._timed_steps += 1
            storage.put_scalars(time=self._step_timer.seconds())
        else:
            self._restart()
        self._total_timer.pause()

    def after_train(self) -> None:
        """Log the speed and the total time."""
        total = time.perf_counter() - self._start_time
        stepping = self._total_timer.seconds()
        if self._timed_steps > 0 and stepping > 0:
            logger.info(
                f"Overall training speed: {self._timed_steps} iterations in "
                f"{_clock(stepping)} ({stepping / self._timed_steps:.4f} s / it)"
            )
        logger.info(f"Total training time: {_clock(total)} ({_clock(total - stepping)} on hooks)")


def _clock(seconds: float) -> str:
    """Seconds as hours:minutes:seconds."""
    return str(datetime.timedelta(seconds=int(seconds)))


class PeriodicWriter(HookBase):
    """Has the event writers write every ``period`` iterations, after the last one, and at the end.

    Register it last, so that it writes what the other hooks have recorded.

    Args:
        writers: any number of ``EventWriter``.
        period: iterations between two writes.

    Raises:
        TypeError: if one is not an ``EventWriter``.
    """

    def __init__(self, writers: Sequence[EventWriter], period: int = 20) -> None:
        for writer in writers:
            if not isinstance(writer, EventWriter):
                raise TypeError(f"PeriodicWriter needs EventWriters, got {writer!r}.")
        self._writers = writers
        self._period = period

    def _write(self) -> None:
        for writer in self._writers:
            writer.write()

    def after_step(self) -> None:
        """Write when it is time."""
        if _is_due(self, self._period) or _is_last(self):
            self._write()

    def after_train(self) -> None:
        """Write what ``after_train`` of other hooks has recorded, and close the writers."""
        self._write()
        for writer in self._writers:
            writer.close()


class PeriodicCheckpointer(_PeriodicCheckpointer, HookBase):
    """Saves a checkpoint every ``period`` iterations and ``<file_prefix>_final`` after the last.

    With ``max_to_keep`` only so many periodic checkpoints stay. An old one is deleted after the
    new one is complete on the disk, so a crash or a full disk leaves at least one; those of the
    run that is resumed count too. Arguments as for fvcore's ``PeriodicCheckpointer``.
    """

    def before_train(self) -> None:
        """Learn where training ends, and which checkpoints the resumed run left."""
        self.max_iter = self.trainer.max_iter
        if self.max_to_keep is not None and self.trainer.start_iter > 0:
            self.recent_checkpoints = self._earlier_checkpoints()

    def after_step(self) -> None:
        """Save when it is time."""
        self.step(self.trainer.iter)

    def _earlier_checkpoints(self) -> list[str]:
        """This run's periodic checkpoints of iterations before its start, the oldest first."""
        if not self.path_manager.isdir(self.checkpointer.save_dir):
            return []
        pattern = re.compile(rf"{re.escape(self.file_prefix)}_(\d{{7,}})\.pth")
        found = {}
        for path in self.checkpointer.get_all_checkpoint_files():
            match = pattern.fullmatch(PurePath(path).name)
            if match and int(match[1]) < self.trainer.start_iter:
                found[int(match[1])] = path
        return [found[iteration] for iteration in sorted(found)]


class BestCheckpointer(HookBase):
    """Keeps the checkpoint with the best value of a metric in ``<file_prefix>.pth``.

    Register it after the hook that records the metric (:class:`EvalHook`). Saving the best does not
    change which checkpoint is the last one, from which a run resumes; and a resumed run goes on
    from the best value so far, which is kept in the file itself.

    Args:
        eval_period: look at the metric every so many iterations, as often as it is computed.
        checkpointer: what to save with.
        val_metric: the metric's name in the event storage, e.g. ``"bbox/AP50"``.
        mode: whether ``"max"`` or ``"min"`` is best.
        file_prefix: the file's name without ``.pth``.

    Raises:
        ValueError: if ``mode`` is unknown.
    """

    def __init__(
        self,
        eval_period: int,
        checkpointer: Checkpointer,
        val_metric: str,
        mode: Literal["max", "min"] = "max",
        file_prefix: str = "model_best",
    ) -> None:
        if mode not in ("max", "min"):
            raise ValueError(f"The mode of BestCheckpointer is {mode!r}; it is 'max' or 'min'.")
        self._period, self._val_metric, self._mode = eval_period, val_metric, mode
        self._checkpointer, self._file_prefix = checkpointer, file_prefix
        self.best_metric: float | None = None
        self.best_iter: int | None = None

    def before_train(self) -> None:
        """In a resumed run, read the best value so far from the file."""
        if self.trainer.start_iter == 0 or not self._checkpointer.save_dir:
            return
        path = str(PurePath(self._checkpointer.save_dir) / f"{self._file_prefix}.pth")
        if not self._checkpointer.path_manager.isfile(path):
            return
        local = self._checkpointer.path_manager.get_local_path(path)
        # mmap: the weights in it are not read.
        saved = torch.load(local, map_location="cpu", weights_only=True, mmap=True)
        if saved.get("best_metric_name") == self._val_metric:
            self.best_metric, self.best_iter = saved["best_metric"], saved["iteration"]
            logger.info(
                f"Best {self._val_metric} so far: {self.best_metric:0.5f} "
                f"@ iteration {self.best_iter}, from {path}"
            )

    def after_step(self) -> None:
        """Look at the metric when it is time; after the last iteration :meth:`after_train` does."""
        if _is_due(self, self._period) and not _is_last(self):
            self._best_checking()

    def after_train(self) -> None:
        """Look at the metric once more, unless training broke off."""
        if _is_last(self):
            self._best_checking()

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best_metric is None:
            return True
        return value > self.best_metric if self._mode == "max" else value < self.best_metric

    def _best_checking(self) -> None:
        """Save if the latest value is the best."""
        latest = self.trainer.storage.latest().get(self._val_metric)
        if latest is None:
            logger.warning(
                f"The metric {self._val_metric} has not been recorded, so there is no best "
                f"checkpoint by it yet. Does the evaluation compute it, and before this hook?"
            )
            return
        value, iteration = latest
        if not self._is_better(value):
            logger.info(
                f"{self._val_metric} is {value:0.5f} @ iteration {iteration}, not better than "
                f"{self.best_metric} @ iteration {self.best_iter}: not saved."
            )
            return
        logger.info(
            f"{self._val_metric} is {value:0.5f} @ iteration {iteration}, the best so far "
            f"(before: {self.best_metric} @ iteration {self.best_iter}): saving it."
        )
        self.best_metric, self.best_iter = float(value), iteration
        self._save()

    def _save(self) -> None:
        checkpointer = self._checkpointer
        last = checkpointer.get_checkpoint_file() if checkpointer.has_checkpoint() else ""
        checkpointer.save(
            self._file_prefix,
            iteration=self.best_iter,
            best_metric=self.best_metric,
            best_metric_name=self._val_metric,
        )
        # Saving also marks the file as the last checkpoint; resuming from it would go back in time.
        if last and checkpointer.save_to_disk:
            checkpointer.tag_last_checkpoint(PurePath(last).name)


class LRScheduler(HookBase):
    """Steps the learning-rate schedule after each iteration and records ``lr``.

    Args:
        optimizer: by default the trainer's.
        scheduler: a torch scheduler, or an fvcore ``ParamScheduler`` that multiplies the
            optimizer's learning rates (made a ``LRMultiplier`` when training starts); by default
            the trainer's.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer | None = None,
        scheduler: TorchLRScheduler | ParamScheduler | None = None,
    ) -> None:
        self._optimizer, self._scheduler = optimizer, scheduler

    def before_train(self) -> None:
        """Complete what was not given, and pick the group whose learning rate is recorded."""
        if self._optimizer is None:
            self._optimizer = self.trainer.optimizer
        multiplier = self.scheduler
        if isinstance(multiplier, ParamScheduler):
            done, total = self.trainer.iter - 1, self.trainer.max_iter
            self._scheduler = LRMultiplier(self._optimizer, multiplier, total, last_iter=done)
        self._best_param_group_id = self.get_best_param_group_id(self._optimizer)

    @staticmethod
    def get_best_param_group_id(optimizer: torch.optim.Optimizer) -> int:
        """The parameter group that stands for the others: the largest, or the commonest rate.

        Where every group holds one parameter, that is the first group with the learning rate that
        most of them have.
        """
        groups = optimizer.param_groups
        sizes = [len(group["params"]) for group in groups]
        if max(sizes) > 1:
            return sizes.index(max(sizes))
        rates = [group["lr"] for group in groups]
        return rates.index(Counter(rates).most_common(1)[0][0])

    @property
    def scheduler(self) -> Any:
        """The scheduler given, or the trainer's."""
        return self.trainer.scheduler if self._scheduler is None else self._scheduler

    def after_step(self) -> None:
        """Record the rate that this iteration had, and go on to the next."""
        assert self._optimizer is not None
        rate = self._optimizer.param_groups[self._best_param_group_id]["lr"]
        self.trainer.storage.put_scalar("lr", rate, smoothing_hint=False)
        self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """The torch scheduler's state."""
        if isinstance(self.scheduler, TorchLRScheduler):
            return self.scheduler.state_dict()
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        if isinstance(self.scheduler, TorchLRScheduler):
            logger.info("Loading scheduler from state_dict ...")
            self.scheduler.load_state_dict(state_dict)


class EvalHook(HookBase):
    """Runs an evaluation every ``eval_period`` iterations, and after the last one.

    All processes run it, and wait for each other afterwards.

    Args:
        eval_period: 0 for only at the end.
        eval_function: takes nothing, returns a nested dict of numbers, which are recorded in the
            event storage under names joined by "/"; or None.
        eval_after_train: whether it runs at the end.
    """

    def __init__(
        self, eval_period: int, eval_function: Callable[[], Any], eval_after_train: bool = True
    ) -> None:
        self._period = eval_period
        self._eval_after_train = eval_after_train
        self._func: Callable[[], Any] | None = eval_function

    def after_step(self) -> None:
        """Evaluate when it is time; after the last iteration :meth:`after_train` does."""
        if _is_due(self, self._period) and not _is_last(self):
            self._do_eval()

    def after_train(self) -> None:
        """Evaluate the final model, unless training broke off."""
        if self._eval_after_train and _is_last(self):
            self._do_eval()
        # The function usually holds the trainer, which holds this hook.
        self._func = None

    def _do_eval(self) -> None:
        assert self._func is not None
        results = self._func()
        if results:
            self.trainer.storage.put_scalars(smoothing_hint=False, **_flat_floats(results))
        # Evaluation takes the processes differently long; waiting here keeps the next
        # iteration's collectives from timing out.
        comm.synchronize()


def _flat_floats(results: Any) -> dict[str, float]:
    """The leaves of an evaluation's nested results, e.g. ``{"bbox/AP": 40.1}``."""
    if not isinstance(results, Mapping):
        raise TypeError(f"The eval_function of EvalHook must return a dict, got {results!r}.")
    numbers = {}
    for name, value in flatten_results_dict(results).items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "The eval_function of EvalHook must return a nested dict of numbers; "
                f"its {name!r} is {value!r}."
            ) from error
    return numbers


class PreciseBN(HookBase):
    """Recomputes the statistics of BatchNorm layers from many batches, before they are used.

    During training the running averages lag behind the weights; see Wu and Johnson, "Rethinking
    'Batch' in BatchNorm", section 3. Register it before checkpoints and evaluation. Only layers in
    training mode take part; where there are none the hook does nothing.

    Args:
        period: every so many iterations, 0 for only after the last one.
        model: the model, also a ``DistributedDataParallel``. Its training mode is left as it is.
        data_loader: batches for the model; each use goes on where the last one stopped.
        num_iter: how many batches.
    """

    def __init__(
        self, period: int, model: nn.Module, data_loader: Iterable[Any], num_iter: int
    ) -> None:
        self._model = model.module if isinstance(model, DistributedDataParallel) else model
        self._disabled = len(get_bn_modules(self._model)) == 0
        if self._disabled:
            logger.info("PreciseBN has nothing to do: no BatchNorm layer is in training mode.")
        self._period, self._num_iter = period, num_iter
        self._data_loader = data_loader
        self._batches: Iterator[Any] | None = None

    def after_step(self) -> None:
        """Recompute when it is time."""
        if _is_due(self, self._period) or _is_last(self):
            self.update_stats()

    def update_stats(self) -> None:
        """Recompute the statistics with the present weights."""
        if self._disabled:
            return
        if self._batches is None:
            self._batches = iter(self._data_loader)
        logger.info(f"Running precise-BN for {self._num_iter} iterations ...")
        # What the model records on the way does not belong to the training: into a storage of its
        # own, which is thrown away.
        with EventStorage():
            update_bn_stats(
                self._model, _with_progress(self._batches, self._num_iter), self._num_iter
            )


def _with_progress(batches: Iterator[Any], total: int) -> Iterator[Any]:
    """Up to ``total`` batches, with a line in the log every 100."""
    for number, batch in enumerate(itertools.islice(batches, total), start=1):
        if number % 100 == 0:
            logger.info(f"Running precise-BN ... {number}/{total} iterations.")
        yield batch
