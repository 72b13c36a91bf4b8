"""From which score on a model's detections are shown."""

import dataclasses
from numbers import Real
from typing import Any

from torch import nn

from projects_ext.errors import UserError

_NAMES = ("test_score_thresh", "score_thresh")
"""What detectors call the score that a detection needs; an attribute, or a data class's field."""


def require_threshold(value: Any, kind: str) -> None:
    """Refuse a confidence threshold that has no meaning.

    Raises:
        UserError: it is no number from 0 to 1, or the model has no scores of objects.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise UserError(f"confidence_threshold is {value!r}: give a number from 0 to 1, or None")
    if kind == "semantic":
        raise UserError(
            f"confidence_threshold is {value}, but a model of label maps gives each pixel a class "
            "and has no scores of objects: leave it out"
        )


class ScoreThreshold:
    """The model's own threshold, lowered to what the user wants to see.

    A model drops detections of low scores before its NMS: a lower confidence threshold would else
    show no more than its own does.

    Args:
        model: a detector; those of its parts that have a threshold are found by name.
    """

    def __init__(self, model: nn.Module) -> None:
        self._own: list[tuple[Any, str, Any]] = []
        for module in model.modules():
            for name, value in vars(module).items():
                fields = dataclasses.is_dataclass(value) and not isinstance(value, type)
                if name in _NAMES or (fields and any(hasattr(value, x) for x in _NAMES)):
                    self._own.append((module, name, value))

    def lower_to(self, threshold: float | None) -> None:
        """Let detections of this score pass; None: the model's own threshold."""
        for module, name, value in self._own:
            setattr(module, name, _lowered(value, threshold))


def _lowered(value: Any, threshold: float | None) -> Any:
    if threshold is None:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = next(name for name in _NAMES if hasattr(value, name))
        return dataclasses.replace(value, **{found: min(getattr(value, found), threshold)})
    return min(value, threshold)
