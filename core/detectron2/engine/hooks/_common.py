"""What the hooks share: their logger, and whether an iteration is one to act after."""

import logging

from ..train_loop import HookBase

logger = logging.getLogger(__package__)  # one for all hooks: "detectron2.engine.hooks"


def is_due(hook: HookBase, period: int) -> bool:
    """Whether the iteration that just ended is a multiple of ``period`` (counting from 1)."""
    return period > 0 and (hook.trainer.iter + 1) % period == 0


def is_last(hook: HookBase) -> bool:
    """Whether the iteration that just ended is the last one."""
    return bool(hook.trainer.iter + 1 >= hook.trainer.max_iter)
