"""The metric that selects the best checkpoint has to be among those that are evaluated."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from detectron2.engine import hooks
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator
from detectron2.evaluation.testing import flatten_results_dict
from projects_ext.errors import UserError
from projects_ext.evaluation import PredictionPictures, SemanticEvaluator, SemanticPictures

from .config_errors import nearest_keys

COCO_TASKS = ("bbox", "segm")
"""Of an evaluator that decides by the predictions which of them there are."""
COCO_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")

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


def refuse_unknown_metric(name: str, evaluators: Iterable[DatasetEvaluator]) -> None:
    """Refuse, before training, a metric that none of the evaluators can give.

    Only what is certain beforehand counts: the tasks and the metrics of COCO, but not of which
    classes, and nothing where an evaluator is of a kind that is not known here.

    Args:
        name: of the metric, e.g. ``segm/AP``; empty for none.
        evaluators: all of the one data set that is evaluated.

    Raises:
        UserError: with the names that there are.
    """
    flat = [part for one in evaluators for part in getattr(one, "_evaluators", [one])]
    kinds = {type(one) for one in flat} - {PredictionPictures, SemanticPictures}
    of_losses = name.startswith("validation/")
    if not name or of_losses or not kinds or not kinds <= {COCOEvaluator, SemanticEvaluator}:
        return
    known: list[str] = []
    for one in flat:
        if type(one) is COCOEvaluator:
            tasks = getattr(one, "_tasks", None) or COCO_TASKS
            if one._metadata.get("keypoint_names"):
                tasks = (*tasks, "keypoints")
            known += [f"{task}/{metric}" for task in tasks for metric in COCO_METRICS]
    task, _, metric = name.partition("/")
    if SemanticEvaluator in kinds:
        if task == "sem_seg" and metric:
            return
        known.append("sem_seg/mIoU")
    of_class = metric.startswith("AP-") and f"{task}/AP" in known
    if name in known or of_class or (task == "box_proposals" and COCOEvaluator in kinds):
        return
    raise UserError(
        f"{_is(name)}, but the evaluation gives {', '.join(known)}: {_meant(name, known)}correct "
        "it, or set it to ''"
    )


def _is(name: str) -> str:
    return f"train.best_checkpointer.val_metric (YAML: TEST.BEST_METRIC) is {name}"


def _meant(name: str, known: Sequence[str]) -> str:
    near = nearest_keys(name, known)
    return f"did you mean {' or '.join(near)}? " if near else ""


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
    names = ", ".join(recorded) or "no metrics"
    sentence = f"{_is(name)}, but the evaluation gives {names}: {_meant(name, recorded)}"
    if trainer.iter + 1 >= trainer.max_iter:
        logger.warning(f"{sentence.rstrip(': ')}; no best checkpoint is kept")
        return
    trainer.checkpointer.save(f"model_{trainer.iter:07d}", iteration=trainer.iter)
    raise UserError(f"{sentence}correct it and continue with --resume, or set it to ''")
