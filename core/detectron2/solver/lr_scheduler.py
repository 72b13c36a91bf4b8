"""Learning-rate schedules with warmup, counted in iterations.

:class:`LRMultiplier` is the one to use: it turns any fvcore ``ParamScheduler`` (a function of the
training progress in [0, 1]) into a torch scheduler. The two ``Warmup*LR`` classes are the older
form of the same thing, kept for code that names them.
"""

import logging
import math
from bisect import bisect_right
from typing import Any, Literal

import torch
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    LinearParamScheduler,
    ParamScheduler,
)
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

logger = logging.getLogger(__name__)

WarmupMethod = Literal["linear", "constant"]


def _unknown(method: str) -> str:
    return f"Unknown warmup method: {method!r}; it is either 'linear' or 'constant'."


class WarmupParamScheduler(CompositeParamScheduler):
    """A schedule whose first part is replaced by a warmup.

    Args:
        scheduler: the schedule to follow once the warmup is over.
        warmup_factor: the warmup starts at ``warmup_factor * scheduler(0)``.
        warmup_length: the warmup's share of the whole training, in [0, 1].
        warmup_method: ``"linear"`` climbs to the value at which ``scheduler`` takes over,
            ``"constant"`` stays at the start value.
        rescale_interval: False cuts the first ``warmup_length`` off ``scheduler``; True squeezes
            the whole of ``scheduler`` into what the warmup leaves.

    Raises:
        ValueError: if ``warmup_method`` is unknown.
    """

    def __init__(
        self,
        scheduler: ParamScheduler,
        warmup_factor: float,
        warmup_length: float,
        warmup_method: WarmupMethod = "linear",
        rescale_interval: bool = False,
    ) -> None:
        first = warmup_factor * scheduler(0.0)
        warmup: ParamScheduler
        if warmup_method == "linear":
            last = scheduler(0.0 if rescale_interval else warmup_length)
            warmup = LinearParamScheduler(first, last)
        elif warmup_method == "constant":
            warmup = ConstantParamScheduler(first)
        else:
            raise ValueError(_unknown(warmup_method))
        # A part of length zero cannot be rescaled to.
        rescale = rescale_interval and warmup_length < 1.0
        super().__init__(
            [warmup, scheduler],
            lengths=[warmup_length, 1 - warmup_length],
            interval_scaling=["rescaled", "rescaled" if rescale else "fixed"],
        )


class LRMultiplier(LRScheduler):
    """Multiplies every group's own learning rate by a function of the training progress.

    ``step()`` is due once per iteration. The checkpointed state holds numbers alone: the function
    comes from the configuration, so a resumed run may have another one.

    Args:
        optimizer: its groups keep their learning rates in ``initial_lr``.
        multiplier: maps progress in [0, 1] to the factor.
        max_iter: the number of iterations that make progress 1.
        last_iter: the iteration after which training continues; -1 for a new run.

    Raises:
        ValueError: if ``multiplier`` is not a ``ParamScheduler``.
    """

    def __init__(
        self, optimizer: Optimizer, multiplier: ParamScheduler, max_iter: int, last_iter: int = -1
    ) -> None:
        if not isinstance(multiplier, ParamScheduler):
            raise ValueError(
                "LRMultiplier needs an fvcore ParamScheduler as its multiplier, "
                f"got {type(multiplier).__name__}: {multiplier!r}."
            )
        self._multiplier, self._max_iter = multiplier, max_iter
        super().__init__(optimizer, last_epoch=last_iter)

    def state_dict(self) -> dict[str, Any]:
        """The progress alone, as plain numbers: ``base_lrs`` and ``last_epoch``."""
        return {name: getattr(self, name) for name in ("base_lrs", "last_epoch")}

    def get_lr(self) -> list[float | torch.Tensor]:
        """The groups' learning rates of iteration ``last_epoch``."""
        factor = self._multiplier(self.last_epoch / self._max_iter)
        return [factor * lr for lr in self.base_lrs]


class _WarmupLR(LRScheduler):
    """What the two older schedules share: a warmup factor times a decay from iteration 0 on."""

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_factor: float,
        warmup_iters: int,
        warmup_method: WarmupMethod,
        last_epoch: int,
    ) -> None:
        name = type(self).__name__
        logger.warning(
            f"{name} is the older form; prefer LRMultiplier with a WarmupParamScheduler."
        )
        self.warmup_method = warmup_method
        self.warmup_iters = warmup_iters
        self.warmup_factor = warmup_factor
        super().__init__(optimizer, last_epoch)

    def _warmup(self) -> float:
        """The warmup's factor of iteration ``last_epoch``; 1 once the warmup is over."""
        if self.last_epoch >= self.warmup_iters:
            return 1.0
        if self.warmup_method not in ("linear", "constant"):
            raise ValueError(_unknown(self.warmup_method))
        progress = self.last_epoch / self.warmup_iters if self.warmup_method == "linear" else 0.0
        return self.warmup_factor * (1 - progress) + progress

    def _decay(self) -> float:
        """The factor of iteration ``last_epoch`` without warmup."""
        raise NotImplementedError

    def get_lr(self) -> list[float | torch.Tensor]:
        """The groups' learning rates of iteration ``last_epoch``."""
        warmup, decay = self._warmup(), self._decay()
        return [lr * warmup * decay for lr in self.base_lrs]


class WarmupMultiStepLR(_WarmupLR):
    """Multiplies the learning rate by ``gamma`` at every milestone (iterations, increasing).

    Raises:
        ValueError: if ``milestones`` decrease somewhere, or ``warmup_method`` is unknown.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: list[int],
        gamma: float = 0.1,
        warmup_factor: float = 0.001,
        warmup_iters: int = 1000,
        warmup_method: WarmupMethod = "linear",
        last_epoch: int = -1,
    ) -> None:
        if list(milestones) != sorted(milestones):
            raise ValueError(f"WarmupMultiStepLR needs increasing milestones, got {milestones}.")
        self.gamma = gamma
        self.milestones = milestones
        super().__init__(optimizer, warmup_factor, warmup_iters, warmup_method, last_epoch)

    def _decay(self) -> float:
        return self.gamma ** bisect_right(self.milestones, self.last_epoch)


class WarmupCosineLR(_WarmupLR):
    """Half a cosine from the full learning rate at iteration 0 to zero at ``max_iters``.

    Raises:
        ValueError: if ``warmup_method`` is unknown.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_iters: int,
        warmup_factor: float = 0.001,
        warmup_iters: int = 1000,
        warmup_method: WarmupMethod = "linear",
        last_epoch: int = -1,
    ) -> None:
        self.max_iters = max_iters
        super().__init__(optimizer, warmup_factor, warmup_iters, warmup_method, last_epoch)

    def _decay(self) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * self.last_epoch / self.max_iters))


def _get_warmup_factor_at_iter(
    method: str, iter: int, warmup_iters: int, warmup_factor: float
) -> float:
    """The factor on the learning rate at an iteration of a warmup ("constant" or "linear")."""
    if iter >= warmup_iters:
        return 1.0
    if method not in ("constant", "linear"):
        raise ValueError(_unknown(method))
    if method == "constant":
        return warmup_factor
    share = iter / warmup_iters
    return warmup_factor * (1 - share) + share
