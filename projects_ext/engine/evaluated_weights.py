"""Weights that are to be evaluated or predicted with: all of the model's, and the right ones."""

import logging
from collections.abc import Sequence
from typing import Any

from torch import nn

from projects_ext.checkpoint import LoadReport
from projects_ext.errors import UserError, user_errors

from .base import RunTrainer
from .ema import averaged_weights
from .settings import Settings

logger = logging.getLogger("detectron2.projects_ext")


def load_for_evaluation(
    trainer: type[RunTrainer],
    model: nn.Module,
    checkpoint: str,
    settings: Settings,
    classes: Sequence[str] | None,
    prefix: str = "--eval-only: ",
) -> LoadReport:
    """Load the weights that are to be evaluated: the average, where the config asks for one.

    Args:
        trainer: the trainer class of the config.
        model: gets the weights.
        checkpoint: a path or an address.
        settings: of the config.
        classes: the names of the model's classes in order; None if nobody knows.
        prefix: of error messages.

    Returns:
        what was loaded.

    Raises:
        UserError: the weights do not fit the model; a part of it gets none, which would be
            evaluated with random numbers; or none of their classes has the name of one of the data
            set's.
    """
    source: Any = checkpoint
    if settings.ema_decay:
        with user_errors():
            source = averaged_weights(checkpoint, settings.trust_checkpoint) or checkpoint
    report = trainer.load_weights(model, source, settings, classes)
    if report.other_classes and not settings.allow_other_classes:
        raise UserError(
            f"{prefix}{report.source} was trained on other classes: {report.other_classes}; "
            "give other weights, or the data set the file's names; if they are the same classes in "
            "the same order, add train.allow_other_classes=True (YAML: MODEL.ALLOW_OTHER_CLASSES "
            "True)"
        )
    for doubt in report.doubts:
        logger.warning(f"{report.source}: {doubt}")
    if report.unloaded and not settings.allow_missing_weights:
        count = len(report.unloaded) + len(report.loaded)
        why = "; ".join(report.notes) if report.reinitialised else ""
        raise UserError(
            f"{prefix}{len(report.unloaded)} of the model's {count} entries get no value from "
            f"{report.source}, such as {report.unloaded[0]}, and would be random"
            f"{f' ({why})' if why else ''}: give the config that these weights were trained with, "
            "or other weights; to use them anyway, add train.allow_missing_weights=True "
            "(YAML: MODEL.ALLOW_MISSING_WEIGHTS True)"
        )
    return report
