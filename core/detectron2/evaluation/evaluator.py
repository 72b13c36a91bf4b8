"""The interface of evaluators, and the loop that runs a model over a data set for them."""

import datetime
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from detectron2.utils.comm import get_world_size, is_main_process
from detectron2.utils.logger import log_every_n_seconds

WARMUP_BATCHES = 5  # the first batches pay for allocations and autotuning: not timed
PROGRESS_SECONDS = 5  # time between two lines of progress


class DatasetEvaluator:
    """What turns the pairs (inputs, outputs) of a model into metrics.

    The loop calls :meth:`reset` once, :meth:`process` once a batch, :meth:`evaluate` at the end.
    """

    def reset(self) -> None:
        """Forget everything seen so far: a new round of evaluation begins."""

    def process(self, inputs: Any, outputs: Any) -> None:
        """Take in one batch.

        Args:
            inputs: what the model was given, usually a list of data set dicts.
            outputs: what the model answered, usually one dict per input.
        """

    def evaluate(self) -> Any:
        """Compute the metrics of everything processed since the last :meth:`reset`.

        Returns:
            A dict ``{task: {metric: value}}`` (the form the trainer prints and compares), or None
            where there is nothing to say, e.g. on processes other than the main one.
        """


class DatasetEvaluators(DatasetEvaluator):
    """Several evaluators behind the interface of one; their results are merged.

    Args:
        evaluators: the parts. No two of them may answer the same key.
    """

    def __init__(self, evaluators: Sequence[DatasetEvaluator]) -> None:
        super().__init__()
        self._evaluators = evaluators

    def reset(self) -> None:
        """Reset every part."""
        for part in self._evaluators:
            part.reset()

    def process(self, inputs: Any, outputs: Any) -> None:
        """Hand the batch to every part."""
        for part in self._evaluators:
            part.process(inputs, outputs)

    def evaluate(self) -> OrderedDict[str, Any]:
        """Merge what the parts answer; empty on processes other than the main one.

        Raises:
            AssertionError: if two parts answer the same key.
        """
        merged: OrderedDict[str, Any] = OrderedDict()
        for part in self._evaluators:
            answer = part.evaluate()
            if answer is None or not is_main_process():
                continue
            clash = merged.keys() & answer.keys()
            assert not clash, (
                f"Different evaluators produce results with the same key {', '.join(sorted(clash))}"
            )
            merged.update(answer)
        return merged


class _Timings:
    """Seconds spent on data, model and evaluator, counted anew when the warm-up is over."""

    def __init__(self, num_batches: int) -> None:
        self.num_batches = num_batches
        self.warmup = min(WARMUP_BATCHES, max(num_batches - 1, 0))
        self.restart()

    def restart(self) -> None:
        self.started = time.perf_counter()
        self.data = self.compute = self.evaluation = 0.0

    def progress(self, done: int) -> str:
        """One line after ``done`` batches: seconds a batch by part, and the time still to go."""
        timed = max(done - self.warmup, 1)
        total = (time.perf_counter() - self.started) / timed
        remaining = datetime.timedelta(seconds=int(total * (self.num_batches - done)))
        return (
            f"Inference done {done}/{self.num_batches}. "
            f"Dataloading: {self.data / timed:.4f} s/iter. "
            f"Inference: {self.compute / timed:.4f} s/iter. "
            f"Eval: {self.evaluation / timed:.4f} s/iter. "
            f"Total: {total:.4f} s/iter. ETA={remaining}"
        )

    def summary(self, num_devices: int) -> list[str]:
        """The closing lines: wall-clock time, and the model's share of it."""
        timed = max(self.num_batches - self.warmup, 1)
        parts = [
            ("Total inference time", time.perf_counter() - self.started),
            ("Total inference pure compute time", self.compute),
        ]
        return [
            f"{name}: {datetime.timedelta(seconds=int(seconds))} "
            f"({seconds / timed:.6f} s / iter per device, on {num_devices} devices)"
            for name, seconds in parts
        ]


def inference_on_dataset(
    model: Callable[[Any], Any],
    data_loader: Any,
    evaluator: DatasetEvaluator | list[DatasetEvaluator] | None,
    callbacks: Mapping[str, Callable[[], Any]] | None = None,
) -> Any:
    """Run a model over a data loader, feed an evaluator, and return the metrics.

    The model runs without gradients and, if it is an ``nn.Module``, in evaluation mode; its mode is
    restored afterwards. Progress with the time to go is logged every few seconds.

    Args:
        model: called with each element of ``data_loader``.
        data_loader: has a length; its elements are the model's inputs.
        evaluator: one evaluator, a list of them, or None to only run (a benchmark).
        callbacks: optional functions without arguments, by stage: ``"on_start"``,
            ``"before_inference"`` and ``"after_inference"`` (around each batch), ``"on_end"``.

    Returns:
        What ``evaluator.evaluate()`` returns, an empty dict in the place of None.
    """
    log = logging.getLogger(__name__)
    if evaluator is None or isinstance(evaluator, list | tuple):
        evaluator = DatasetEvaluators(evaluator or [])
    evaluator.reset()
    total = len(data_loader)
    log.info(f"Start inference on {total} batches")
    with ExitStack() as stack:
        if isinstance(model, nn.Module):
            stack.enter_context(inference_context(model))
        stack.enter_context(torch.no_grad())
        timings = _run(model, data_loader, evaluator, dict(callbacks or {}), total)
    for line in timings.summary(get_world_size()):
        log.info(line)
    results = evaluator.evaluate()
    return {} if results is None else results


def _nothing() -> None:
    pass


def _run(
    model: Callable[[Any], Any],
    data_loader: Any,
    evaluator: DatasetEvaluator,
    callbacks: dict[str, Callable[[], Any]],
    total: int,
) -> _Timings:
    """The loop itself; returns how long its parts took."""
    before = callbacks.get("before_inference", _nothing)
    after = callbacks.get("after_inference", _nothing)
    timings = _Timings(total)
    callbacks.get("on_start", _nothing)()
    asked_for_data = time.perf_counter()
    for index, inputs in enumerate(data_loader):
        if index == timings.warmup:
            # Waiting for this batch still belongs to the start of the loader's workers.
            timings.restart()
        else:
            timings.data += time.perf_counter() - asked_for_data

        begin = time.perf_counter()
        before()
        outputs = model(inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        after()
        computed = time.perf_counter()
        evaluator.process(inputs, outputs)
        # Scores of label maps are large: they go before the next ones come.
        del inputs, outputs
        asked_for_data = time.perf_counter()

        timings.compute += computed - begin
        timings.evaluation += asked_for_data - computed
        if index >= timings.warmup:
            log_every_n_seconds(
                logging.INFO, timings.progress(index + 1), PROGRESS_SECONDS, name=__name__
            )
    callbacks.get("on_end", _nothing)()
    return timings


@contextmanager
def inference_context(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a ``with`` block; the former mode returns even on errors."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
