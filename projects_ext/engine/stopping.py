"""Ctrl-C and SIGTERM: finish the iteration, save, and say how to go on."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from fvcore.common.checkpoint import Checkpointer

from detectron2.engine import HookBase
from detectron2.utils import comm
from projects_ext.errors import UserError

from .faults import StoppedError

logger = logging.getLogger("detectron2.projects_ext")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

GRACE = 0.2
"""Seconds in which a signal to all processes reaches each of them."""

PATIENCE = 2.0
"""Seconds after which another signal means: at once."""

AT_ONCE = "stopped at once, nothing more was saved: go on from the last checkpoint with --resume"


class StopOnSignal(HookBase):
    """Stops training after the iteration in which SIGINT or SIGTERM comes, or in an evaluation.

    Register it after the hooks that change model, schedule or averages in ``after_step`` and before
    those that save and evaluate. Another signal, a while later, stops at once. With several
    processes all of them stop after the same iteration, as soon as one has got a signal.

    Attributes:
        received: the signal, 0 as long as there is none.
        done: the last iteration that is complete; -1 as long as there is none.
        impatient: whether a second signal came.
        agreed: whether all processes stop after the same iteration.
    """

    def __init__(self) -> None:
        self.received = 0
        self.done = -1
        self.impatient = False
        self.agreed = False
        self._immediately = False
        self._when = 0.0

    def before_train(self) -> None:
        """What a resumed run starts from is complete."""
        self.done = self.trainer.start_iter - 1

    def after_step(self) -> None:
        """Stop here if it has been asked for; the last iteration ends by itself."""
        self.done = self.trainer.iter
        if self._anywhere() and self.done + 1 < self.trainer.max_iter:
            self.agreed = True
            self.stop()

    def stop(self) -> None:
        """End the training loop.

        Raises:
            StoppedError: always.
        """
        raise StoppedError("stopped", self.received)

    def _anywhere(self) -> bool:
        """Whether any process has got a signal; then ``received`` is the highest one everywhere."""
        if comm.get_world_size() > 1:
            on_gpu = dist.get_backend() == "nccl"
            number = torch.tensor(self.received, device="cuda" if on_gpu else "cpu")
            dist.all_reduce(number, op=dist.ReduceOp.MAX)
            self.received = int(number)
        return self.received != 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            if time.monotonic() - self._when > PATIENCE:
                self.impatient = True
                raise StoppedError(AT_ONCE, number)
            return  # another process has passed on the same one
        self.received, self._when = number, time.monotonic()
        if self._immediately:
            self.stop()
        name = signal.Signals(number).name
        # Not by print: the signal may have come in the middle of another one.
        os.write(2, f"{name}: stopping after this iteration (once more: at once)\n".encode())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, the signals come here; where they are ignored (nohup), they stay so."""
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, self._handle)
        try:
            yield
        finally:
            for taken, handler in before.items():
                signal.signal(taken, handler)

    @contextmanager
    def immediately(self) -> Iterator[None]:
        """Within (an evaluation), nothing changes that is worth waiting for: stop at once.

        One process alone cannot leave an evaluation that several do together: it waits.
        """
        alone = comm.get_world_size() == 1
        if alone and self.received:
            self.stop()
        self._immediately = alone
        try:
            yield
        except Exception as error:
            if self.explains(error):
                self.stop()
            raise
        finally:
            self._immediately = False

    def explains(self, error: Exception) -> bool:
        """Whether the error comes from the stop: the signal went to other processes, too."""
        if not self.received and "DataLoader worker" in str(error):
            time.sleep(GRACE)  # they have got it before this one
        return self.received != 0 and not isinstance(error, UserError)


def save_on_stop(
    trainer: Any, stop: StopOnSignal, checkpointer: Checkpointer, signal_number: int
) -> StoppedError:
    """Save the state after the last complete iteration.

    Args:
        trainer: whose ``iter`` becomes that iteration.
        stop: the trainer's hook.
        checkpointer: of the trainer.
        signal_number: of the signal that stopped it.

    Returns:
        what to raise: it says what was saved and how to go on.
    """
    trainer.iter = stop.done
    file_name = f"model_{stop.done:07d}"
    if stop.done + 1 >= trainer.max_iter:
        file_name = "model_final"
    if stop.impatient:
        return StoppedError(AT_ONCE, signal_number)
    if stop.done >= trainer.start_iter and not _is_last(checkpointer, file_name):
        checkpointer.save(file_name, iteration=stop.done)
    if stop.agreed:
        # Nobody leaves before it is saved: who starts the processes ends all with the first one.
        comm.synchronize()
    if not comm.is_main_process():
        return StoppedError("", signal_number)
    if not checkpointer.has_checkpoint():
        sentence = "stopped before there was a checkpoint: start again"
    else:
        file = checkpointer.get_checkpoint_file()
        sentence = (
            f"stopped after iteration {stop.done + 1} of {trainer.max_iter}: go on from {file} by "
            "adding --resume to the same command"
        )
    logger.info(sentence)
    return StoppedError(sentence, signal_number)


def _is_last(checkpointer: Checkpointer, file_name: str) -> bool:
    if not checkpointer.has_checkpoint():
        return False
    return checkpointer.get_checkpoint_file().endswith(f"{file_name}.pth")
