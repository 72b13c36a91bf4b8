"""Hooks that evaluate a model, and that prepare its BatchNorm layers for it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from ..train_loop import HookBase
from ._common import is_due, is_last, logger


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
        if is_due(self, self._period) and not is_last(self):
            self._do_eval()

    def after_train(self) -> None:
        """Evaluate the final model, unless training broke off."""
        if self._eval_after_train and is_last(self):
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
        if is_due(self, self._period) or is_last(self):
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
