"""Early stopping: the training ends when a metric has not improved for a while.

Prechelt, "Early Stopping -- But When?" (1998), the criterion UP.
"""

import json
import logging
import math
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist

from detectron2.engine import HookBase
from detectron2.utils import comm

logger = logging.getLogger("detectron2.projects_ext")

KEYS = "train.early_stopping.patience (YAML: SOLVER.EARLY_STOPPING.PATIENCE)"


class EndedEarly(BaseException):
    """Ends the loop of a training that is complete. No ``Exception``: nothing has gone wrong."""


class EarlyStopping(HookBase):
    """Ends the training after ``patience`` evaluations without a better value.

    What was evaluated before a resume is read from ``metrics.json``. Register it on all processes,
    after the evaluation and after what keeps the best checkpoint.

    Args:
        period: iterations between evaluations.
        metric: the name in the event storage, e.g. ``bbox/AP``.
        mode: whether larger (``max``) or smaller (``min``) is better.
        patience: evaluations in a row that may bring no improvement.
        min_delta: what counts as an improvement is larger than this.
        record: the run's ``metrics.json``.
    """

    def __init__(
        self,
        period: int,
        metric: str,
        mode: Literal["max", "min"],
        patience: int,
        min_delta: float,
        record: Path,
    ) -> None:
        self._period, self._metric, self._patience = period, metric, patience
        self._sign = 1.0 if mode == "max" else -1.0
        self._min_delta, self._record = min_delta, record
        self.best = -math.inf
        self.waited = 0

    def before_train(self) -> None:
        """Take the evaluations before a resume into account.

        Raises:
            EndedEarly: they were enough.
        """
        self.best, self.waited = -math.inf, 0
        for value in recorded_values(self._record, self._metric, self.trainer.start_iter):
            self._look_at(value)
        if self._has_waited():
            raise EndedEarly

    def after_step(self) -> None:
        """Compare after each evaluation.

        Raises:
            EndedEarly: there has been no improvement for long enough; ``model_final`` is saved.
        """
        done = self.trainer.iter + 1
        if self._period <= 0 or done % self._period or done >= self.trainer.max_iter:
            return
        latest = self.trainer.storage.latest().get(self._metric)
        if latest is not None and latest[1] == self.trainer.iter:
            self._look_at(latest[0])
        if self._has_waited():
            # Saving is done by the main process alone.
            trainer: Any = self.trainer
            trainer.checkpointer.save("model_final", iteration=trainer.iter)
            raise EndedEarly

    def _look_at(self, value: float) -> None:
        if self._sign * value > self.best + self._min_delta:
            self.best, self.waited = self._sign * value, 0
        else:
            self.waited += 1

    def _has_waited(self) -> bool:
        """Whether the training is to end, the same on all processes; the log says so."""
        if not _first_process_says(self.waited >= self._patience):
            return False
        logger.info(
            f"Stopped early: {self._metric} has been no better than {self._sign * self.best:.4g} "
            f"in {self.waited} evaluations; to train on, raise {KEYS} and use --resume"
        )
        return True


def _first_process_says(answer: bool) -> bool:
    """The first process's answer, on all of them: only it knows the metrics."""
    if comm.get_world_size() == 1:
        return answer
    said = torch.tensor(int(answer), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.broadcast(said, src=0)
    return bool(said)


def recorded_values(record: Path, metric: str, before: int) -> list[float]:
    """What ``metrics.json`` has of a metric.

    Args:
        record: the file, one JSON object per line; a run that began anew or resumed from an earlier
            checkpoint has appended to it.
        metric: the name.
        before: the iteration from which on a resumed run computes its own.

    Returns:
        the values in the order of their iterations.
    """
    if before <= 0 or not record.is_file():
        return []
    values: dict[int, float] = {}
    for line in record.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut off by a kill; written again after the resume
        iteration = entry.get("iteration", 0)
        # What a later attempt at the same iterations has recorded counts.
        values = {known: value for known, value in values.items() if known < iteration}
        if metric in entry:
            values[iteration] = float(entry[metric])
    return [value for iteration, value in sorted(values.items()) if iteration < before]
