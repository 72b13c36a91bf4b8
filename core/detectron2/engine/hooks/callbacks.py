"""A hook made of functions."""

from collections.abc import Callable
from typing import Any

from ..train_loop import HookBase

TrainerCallback = Callable[[Any], Any]


class CallbackHook(HookBase):
    """A hook made of functions, each of which gets the trainer."""

    def __init__(
        self,
        *,
        before_train: TrainerCallback | None = None,
        after_train: TrainerCallback | None = None,
        before_step: TrainerCallback | None = None,
        after_step: TrainerCallback | None = None,
    ) -> None:
        self._callbacks = {
            "before_train": before_train,
            "before_step": before_step,
            "after_step": after_step,
            "after_train": after_train,
        }

    def _call(self, stage: str) -> None:
        callback = self._callbacks[stage]
        if callback is not None:
            callback(self.trainer)

    def before_train(self) -> None:
        """Call the function given for it."""
        self._call("before_train")

    def before_step(self) -> None:
        """Call the function given for it."""
        self._call("before_step")

    def after_step(self) -> None:
        """Call the function given for it."""
        self._call("after_step")

    def after_train(self) -> None:
        """Call the function given for it, and let go of all: they may hold the trainer."""
        self._call("after_train")
        self._callbacks = dict.fromkeys(self._callbacks)
