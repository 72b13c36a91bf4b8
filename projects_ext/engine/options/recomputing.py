"""Activation checkpointing of the backbone: less memory for one more forward pass of it.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174).
"""

import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import MethodType
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from projects_ext.errors import UserError

logger = logging.getLogger("detectron2.projects_ext")

_STAGE = re.compile(r"(?:^|\.)res[2-5]$")


def recompute_backbone(model: nn.Module) -> None:
    """Let training keep only the inputs of the ResNet's stages, and recompute what is in them.

    Losses and gradients stay the same, running statistics of batch normalization too.

    Args:
        model: with a ResNet whose stages are called ``res2`` to ``res5``; changed in place. Copies
            made by ``copy.deepcopy`` recompute as well.

    Raises:
        UserError: it has no such stages.
    """
    stages = [module for name, module in model.named_modules() if _STAGE.search(name)]
    if not stages:
        raise UserError(
            "train.recompute (YAML: MODEL.RECOMPUTE) is for backbones with the stages res2 to "
            "res5, and this model has none: set it to False"
        )
    for stage in stages:
        stage.forward = MethodType(_recomputing_forward, stage)
    logger.info(f"The {len(stages)} stages of the backbone are recomputed in the backward pass")


def _recomputing_forward(stage: nn.Module, *inputs: Any) -> Any:
    forward = partial(type(stage).forward, stage)
    if not stage.training or not any(p.requires_grad for p in stage.parameters()):
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=partial(_contexts, stage))


def _contexts(
    stage: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_kept(stage)


@contextmanager
def _statistics_kept(stage: nn.Module) -> Iterator[None]:
    """Within, batch normalization sees its batch a second time: it must not count it again."""
    norms = [module for module in stage.modules() if isinstance(module, _BatchNorm)]
    kept = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        for name, buffer in buffers.items():
            norm._buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
