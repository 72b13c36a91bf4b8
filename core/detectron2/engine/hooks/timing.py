"""Hooks that time a run and write what it records."""

import datetime
import time
from collections.abc import Sequence

from fvcore.common.timer import Timer

from detectron2.utils.events import EventWriter

from ..train_loop import HookBase
from ._common import is_due, is_last, logger


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
        if is_due(self, self._period) or is_last(self):
            self._write()

    def after_train(self) -> None:
        """Write what ``after_train`` of other hooks has recorded, and close the writers."""
        self._write()
        for writer in self._writers:
            writer.close()
