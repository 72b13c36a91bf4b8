"""The metric that selects the best checkpoint has to be among those that are evaluated."""

import logging
from collections.abc import Mapping
from typing import Any, Literal

from detectron2.engine import hooks
from detectron2.evaluation.testing import flatten_results_dict
from projects_ext.errors import UserError

from .config_errors import nearest_keys

logger = logging.getLogger("detectron2.projects_ext")


class BestCheckpoints(hooks.BestCheckpointer):
    """Detectron2's hook, silent where there is no such metric: ``require_best_metric`` says so.

    Args:
        eval_period: iterations between evaluations.
        checkpointer: what saves the best weights.
        val_metric: the metric's name, such as ``bbox/AP``.
        mode: ``max`` or ``min``.
    """

    def __init__(
        self, eval_period: int, checkpointer: Any, val_metric: str, mode: Literal["max", "min"]
    ) -> None:
        super().__init__(eval_period, checkpointer, val_metric, mode)
        self._wanted = val_metric

    def after_step(self) -> None:
        """Compare after an evaluation."""
        if self._wanted in self.trainer.storage.latest():
            super().after_step()

    def after_train(self) -> None:
        """Compare after the last one."""
        if self._wanted in self.trainer.storage.latest():
            super().after_train()


def require_best_metric(name: str, results: Mapping[str, Any], trainer: Any) -> None:
    """Check, as soon as metrics are known, that the best checkpoint can be selected.

    Args:
        name: of the metric, e.g. ``segm/AP``; empty for none.
        results: of an evaluation, by task and metric.
        trainer: the run, after an iteration. What it has learnt is saved before it ends.

    Raises:
        UserError: the metric is not there and the training would continue without a best
            checkpoint. After the last iteration the results are worth more: a warning says it.
    """
    recorded = sorted(flatten_results_dict(results))
    if not name or name in recorded:
        return
    near = nearest_keys(name, recorded)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    sentence = (
        f"train.best_checkpointer.val_metric (YAML: TEST.BEST_METRIC) is {name}, but the "
        f"evaluation gives {', '.join(recorded) or 'no metrics'}: {hint}"
    )
    if trainer.iter + 1 >= trainer.max_iter:
        logger.warning(f"{sentence.rstrip(': ')}; no best checkpoint is kept")
        return
    trainer.checkpointer.save(f"model_{trainer.iter:07d}", iteration=trainer.iter)
    raise UserError(f"{sentence}correct it and continue with --resume, or set it to ''")
