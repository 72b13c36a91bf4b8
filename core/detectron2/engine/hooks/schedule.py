"""The hook of the learning-rate schedule."""

from collections import Counter
from typing import Any

import torch
from fvcore.common.param_scheduler import ParamScheduler

from detectron2.solver import LRMultiplier
from detectron2.solver import LRScheduler as TorchLRScheduler

from ..train_loop import HookBase
from ._common import logger


class LRScheduler(HookBase):
    """Steps the learning-rate schedule after each iteration and records ``lr``.

    Args:
        optimizer: by default the trainer's.
        scheduler: a torch scheduler, or an fvcore ``ParamScheduler`` that multiplies the
            optimizer's learning rates (made a ``LRMultiplier`` when training starts); by default
            the trainer's.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer | None = None,
        scheduler: TorchLRScheduler | ParamScheduler | None = None,
    ) -> None:
        self._optimizer, self._scheduler = optimizer, scheduler

    def before_train(self) -> None:
        """Complete what was not given, and pick the group whose learning rate is recorded."""
        if self._optimizer is None:
            self._optimizer = self.trainer.optimizer
        multiplier = self.scheduler
        if isinstance(multiplier, ParamScheduler):
            done, total = self.trainer.iter - 1, self.trainer.max_iter
            self._scheduler = LRMultiplier(self._optimizer, multiplier, total, last_iter=done)
        self._best_param_group_id = self.get_best_param_group_id(self._optimizer)

    @staticmethod
    def get_best_param_group_id(optimizer: torch.optim.Optimizer) -> int:
        """The parameter group that stands for the others: the largest, or the commonest rate.

        Where every group holds one parameter, that is the first group with the learning rate that
        most of them have.
        """
        groups = optimizer.param_groups
        sizes = [len(group["params"]) for group in groups]
        if max(sizes) > 1:
            return sizes.index(max(sizes))
        rates = [group["lr"] for group in groups]
        return rates.index(Counter(rates).most_common(1)[0][0])

    @property
    def scheduler(self) -> Any:
        """The scheduler given, or the trainer's."""
        return self.trainer.scheduler if self._scheduler is None else self._scheduler

    def after_step(self) -> None:
        """Record the rate that this iteration had, and go on to the next."""
        assert self._optimizer is not None
        rate = self._optimizer.param_groups[self._best_param_group_id]["lr"]
        self.trainer.storage.put_scalar("lr", rate, smoothing_hint=False)
        self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """The torch scheduler's state."""
        if isinstance(self.scheduler, TorchLRScheduler):
            return self.scheduler.state_dict()
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        if isinstance(self.scheduler, TorchLRScheduler):
            logger.info("Loading scheduler from state_dict ...")
            self.scheduler.load_state_dict(state_dict)
