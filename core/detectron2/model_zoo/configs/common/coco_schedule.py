"""Multipliers of the learning rate for 1x (12 epochs of COCO at 16 images) and multiples of it."""

from typing import Any

from fvcore.common.param_scheduler import MultiStepParamScheduler

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler


def default_X_scheduler(num_X: float) -> Any:
    """A tenth of the rate before the last 60,000 iterations, a hundredth before the last 20,000.

    Up to 2x the steps are those of 1x, stretched (He et al., "Rethinking ImageNet Pre-training",
    section 4, for more).
    """
    length = num_X * 90000
    ends = [60000, 80000, 90000] if num_X <= 2 else [length - 60000, length - 20000, length]
    return L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(values=[1.0, 0.1, 0.01], milestones=ends),
        warmup_length=1000 / length,
        warmup_method="linear",
        warmup_factor=0.001,
    )


lr_multiplier_1x = default_X_scheduler(1)
lr_multiplier_2x = default_X_scheduler(2)
lr_multiplier_3x = default_X_scheduler(3)
lr_multiplier_6x = default_X_scheduler(6)
lr_multiplier_9x = default_X_scheduler(9)
