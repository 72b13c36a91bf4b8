"""The training loop and the hooks around it.

One iteration is ``before_step``, ``run_step`` (which calls ``after_backward`` once gradients are
there) and ``after_step``; each calls the method of that name of every hook, in order.
"""

import logging
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from detectron2.utils.events import EventStorage

logger = logging.getLogger("detectron2.engine.train_loop")  # where HookBase and TrainerBase belong


class HookBase:
    """Something to do at fixed points of the training loop. Subclasses override what they need.

    Attributes:
        trainer: a weak reference to the trainer, there once the hook is registered.

    A hook with a state overrides :meth:`state_dict` and adds ``load_state_dict(state_dict)``; the
    trainer then keeps the state in its checkpoints.
    """

    trainer: Any = None

    def before_train(self) -> None:
        """Called once, before the first iteration."""

    def after_train(self) -> None:
        """Called once, after the last iteration and also after an exception."""

    def before_step(self) -> None:
        """Called at the beginning of each iteration."""

    def after_backward(self) -> None:
        """Called in each iteration between the backward pass and the update."""

    def after_step(self) -> None:
        """Called at the end of each iteration."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to keep; nothing by default."""
        return {}


class TrainerBase:
    """A loop with hooks; subclasses say in :meth:`run_step` what an iteration is.

    Attributes:
        iter: the current iteration; during ``after_train``, ``max_iter`` if all went well.
        start_iter: the first iteration of this run, 0 unless it is resumed.
        max_iter: where the run ends (exclusive).
        storage: the ``EventStorage`` of this run, open while it lasts.
    """

    def __init__(self) -> None:
        self._hooks: list[HookBase] = []
        self.iter: int = 0
        self.start_iter: int = 0
        self.max_iter: int
        self.storage: EventStorage

    def register_hooks(self, hooks: Iterable[HookBase | None]) -> None:
        """Append hooks, which run in this order; None stands for no hook.

        Raises:
            TypeError: if one is not a :class:`HookBase`.
        """
        added = [hook for hook in hooks if hook is not None]
        for hook in added:
            if not isinstance(hook, HookBase):
                raise TypeError(f"A hook must be a HookBase, got {type(hook).__name__}: {hook!r}.")
            # The trainer owns its hooks; a strong reference back would keep both alive for long.
            hook.trainer = weakref.proxy(self)
        self._hooks.extend(added)

    def train(self, start_iter: int, max_iter: int) -> Any:
        """Run the iterations ``start_iter`` to ``max_iter - 1``.

        ``after_train`` runs whatever happens. An exception is logged and raised again.
        """
        logger.info(f"Starting training from iteration {start_iter}")
        self.start_iter, self.max_iter = start_iter, max_iter
        self.iter = start_iter
        with EventStorage(start_iter) as self.storage:
            try:
                self.before_train()
                for iteration in range(start_iter, max_iter):
                    self.iter = iteration
                    self.before_step()
                    self.run_step()
                    self.after_step()
                # By this the hooks' after_train tells the end of training from an exception.
                self.iter = max(start_iter, max_iter)
            except Exception:
                logger.exception(f"Exception during training, in iteration {self.iter}:")
                raise
            finally:
                self.after_train()

    def _call_hooks(self, stage: str) -> None:
        for hook in self._hooks:
            getattr(hook, stage)()

    def before_train(self) -> None:
        """Call every hook's ``before_train``."""
        self._call_hooks("before_train")

    def after_train(self) -> None:
        """Call every hook's ``after_train``, the storage being at the trainer's iteration."""
        self.storage.iter = self.iter
        self._call_hooks("after_train")

    def before_step(self) -> None:
        """Call every hook's ``before_step``, the storage being at the trainer's iteration."""
        self.storage.iter = self.iter
        self._call_hooks("before_step")

    def after_backward(self) -> None:
        """Call every hook's ``after_backward``; due from ``run_step``."""
        self._call_hooks("after_backward")

    def after_step(self) -> None:
        """Call every hook's ``after_step``."""
        self._call_hooks("after_step")

    def run_step(self) -> None:
        """One iteration. Subclasses must implement it."""
        raise NotImplementedError(f"{type(self).__name__} must implement run_step().")

    def _keyed_hooks(self) -> Iterator[tuple[str, HookBase]]:
        """Each hook with the key of its state: its class's name, numbered from the second on."""
        count: dict[str, int] = {}
        for hook in self._hooks:
            name = type(hook).__qualname__
            count[name] = count.get(name, 0) + 1
            yield (name if count[name] == 1 else f"{name}#{count[name]}"), hook

    def state_dict(self) -> dict[str, Any]:
        """``iteration``, and by their names the ``hooks`` that have a state."""
        states = {key: hook.state_dict() for key, hook in self._keyed_hooks()}
        states = {key: state for key, state in states.items() if state}
        return {"iteration": self.iter, **({"hooks": states} if states else {})}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; unknown hooks are ignored with a warning."""
        self.iter = state_dict["iteration"]
        hooks = dict(self._keyed_hooks())
        for key, state in state_dict.get("hooks", {}).items():
            load = getattr(hooks.get(key), "load_state_dict", None)
            if load is None:
                logger.warning(
                    f"No hook {key!r} here that takes a state; the saved one is ignored."
                )
            else:
                load(state)
