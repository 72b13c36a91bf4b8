"""A resumed run's optimizer: its state is the checkpoint's, its options are the config's."""

import logging
from typing import Any

import torch

from projects_ext.errors import UserError

logger = logging.getLogger("detectron2.projects_ext")

Options = dict[str, Any]


def group_options(optimizer: torch.optim.Optimizer) -> list[Options]:
    """The options of each parameter group, with the learning rate that the schedule multiplies."""
    return [
        {**_options(group), "initial_lr": group.get("initial_lr", group["lr"])}
        for group in optimizer.param_groups
    ]


def _options(group: Options) -> Options:
    return {name: value for name, value in group.items() if name not in ("params", "lr")}


def apply_group_options(
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    wanted: list[Options],
) -> None:
    """Let options of the config replace those that came with a checkpoint's optimizer state.

    Options that are the same are not touched: the run then continues to the bit.

    Args:
        optimizer: with the state of a checkpoint.
        scheduler: with the state of the same checkpoint; its ``base_lrs`` are changed as well.
        wanted: what :func:`group_options` said before the state was loaded.

    Raises:
        UserError: the checkpoint is of another kind of optimizer.
    """
    changes: dict[str, None] = {}
    for index, (group, options) in enumerate(zip(optimizer.param_groups, wanted, strict=True)):
        lacking = sorted(options.keys() - group.keys())
        if lacking:
            raise UserError(
                f"--resume: the checkpoint's optimizer has no {', '.join(lacking)}, as "
                f"{type(optimizer).__name__} needs: resume with the optimizer that the run began "
                "with, or start from its weights without --resume in another output folder"
            )
        for name, value in options.items():
            old = group[name]
            if _same(old, value):
                continue
            changes[f"{'lr' if name == 'initial_lr' else name} {old} -> {value}"] = None
            group[name] = value
            if name == "initial_lr":
                group["lr"] = group["lr"] * value / old if old else value
                scheduler.base_lrs[index] = value
    if changes:
        logger.info(f"--resume: options of the config replace the checkpoint's: {_some(changes)}")


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        return list(old) == list(new)
    return old == new


def _some(changes: dict[str, None], shown: int = 6) -> str:
    texts = list(changes)
    more = f" and {len(texts) - shown} more" if len(texts) > shown else ""
    return f"{', '.join(texts[:shown])}{more}"
