"""Frozen parameters: they keep their values, and normalization layers their statistics."""

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from detectron2.engine import HookBase
from projects_ext.errors import UserError

from ..config_errors import nearest_keys

logger = logging.getLogger("detectron2.projects_ext")

KEYS = "train.freeze (YAML: MODEL.FREEZE)"


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[_BatchNorm]:
    """Freeze what the patterns match; to be called before the optimizer is built.

    Args:
        model: changed in place.
        patterns: names of modules or parameters, such as ``backbone.bottom_up``, with ``*`` and
            ``?`` as in file names.

    Returns:
        the batch normalization layers that are frozen as a whole, for :class:`KeepNormsFrozen`.

    Raises:
        UserError: a pattern matches nothing, or everything is frozen.
    """
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        matching = [name for name in parameters if _matches(name, pattern)]
        if not matching:
            raise UserError(f"{KEYS} has {pattern}, but {_nearest(pattern, parameters)}")
        for name in matching:
            parameters[name].requires_grad_(False)
    trained = sum(p.numel() for p in parameters.values() if p.requires_grad)
    if patterns and not trained:
        raise UserError(f"{KEYS} freezes the whole model: leave out what is to be trained")
    if patterns:
        total = sum(p.numel() for p in parameters.values())
        logger.info(f"Frozen: {', '.join(patterns)}; {trained:,} of {total:,} parameters train")
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and any(_matches(name, pattern) for pattern in patterns)
    ]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _nearest(pattern: str, parameters: dict[str, nn.Parameter]) -> str:
    modules = {
        ".".join(name.split(".")[:depth])
        for name in parameters
        for depth in range(1, name.count(".") + 1)
    }
    near = nearest_keys(pattern, sorted(modules))
    top = sorted({name.partition(".")[0] for name in parameters})
    meant = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(top)}"
    return f"no parameter of the model has that name: {meant}"


class KeepNormsFrozen(HookBase):
    """Frozen batch normalization normalizes by its running statistics and leaves them alone.

    ``model.train()``, which every evaluation ends with, would switch it on again.

    Args:
        norms: what :func:`freeze` returned.
    """

    def __init__(self, norms: Sequence[_BatchNorm]) -> None:
        self._norms = norms

    def before_step(self) -> None:
        """Put the layers into evaluation mode."""
        for norm in self._norms:
            norm.eval()
