"""All that guards a training run, in the form in which a trainer uses it."""

from collections.abc import Iterator
from contextlib import contextmanager

from detectron2.engine import HookBase, SimpleTrainer, TrainerBase

from .checkpointing import AtomicCheckpointer
from .continuity import Continuity
from .faults import StoppedError, enough_memory, quiet_user_errors
from .finite import FiniteLosses
from .stopping import StopOnSignal, save_on_stop


class Guards:
    """Watches the losses, keeps the run's continuity, and stops it in order.

    Args:
        inner: the trainer of single iterations, with model and data loader.

    Attributes:
        hooks: for the outer trainer, after those that change the model or the schedule and before
            those that save or evaluate.
    """

    def __init__(self, inner: SimpleTrainer) -> None:
        self._finite = FiniteLosses(inner.model, inner.data_loader)
        inner.register_hooks([self._finite])
        self._stop = StopOnSignal()
        self.hooks: list[HookBase] = [Continuity(inner.data_loader), self._stop]

    @contextmanager
    def training(self, trainer: TrainerBase, checkpointer: AtomicCheckpointer) -> Iterator[None]:
        """Around the whole training loop.

        Raises:
            StoppedError: a signal asked for it; everything is saved.
        """
        with quiet_user_errors(), self._stop.listening():
            try:
                yield
            except StoppedError as stop:
                number = stop.signal_number
                raise save_on_stop(trainer, self._stop, checkpointer, number) from None

    @contextmanager
    def step(self, trainer: TrainerBase) -> Iterator[None]:
        """Around each iteration's ``run_step``."""
        try:
            with self._finite.named(), enough_memory():
                yield
        except Exception as error:
            if self._stop.explains(error):
                self._stop.stop()
            # It may be the last one, but it is not complete: nothing is to be evaluated after it.
            trainer.max_iter = max(trainer.max_iter, trainer.iter + 2)
            raise

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Around each evaluation: it can be stopped at once."""
        with self._stop.immediately():
            yield
