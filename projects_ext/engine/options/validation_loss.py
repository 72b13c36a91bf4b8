"""The losses of the training on the validation data: whether a model overfits."""

import logging
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from ..continuity import get_random_states, set_random_states

logger = logging.getLogger("detectron2.projects_ext")

REPORT = 10.0
"""Seconds between two lines of progress."""


@torch.no_grad()
def validation_losses(
    model: nn.Module, loader: Iterable[Any], amp_dtype: torch.dtype | None = None
) -> dict[str, float]:
    """The mean of each loss over the images, and ``total_loss``, the sum of them.

    The model is in training mode, since only then does it compute losses, but dropout is off and
    batch normalization uses its running statistics and leaves them alone. Proposals and anchors are
    sampled with the same random numbers each time; those of the training stay untouched.

    Args:
        model: maps a list of inputs to scalar losses by name.
        loader: batches with ground truth; each process has its share of them.
        amp_dtype: of the autocast that training uses; None for none.

    Returns:
        the same on all processes.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    count, device = 0, next(model.parameters()).device.type
    with _as_in_training(model), EventStorage(), _fixed_random_numbers():
        for batch in _with_progress(loader):
            with torch.autocast(device, dtype=amp_dtype, enabled=amp_dtype is not None):
                losses = model(batch)
            losses = {"total_loss": losses} if isinstance(losses, torch.Tensor) else losses
            for name, loss in losses.items():
                sums[name] += float(loss) * len(batch)
            count += len(batch)
    parts = comm.all_gather((dict(sums), count))
    images = max(sum(number for _, number in parts), 1)
    names = dict.fromkeys(name for part, _ in parts for name in part)
    means = {name: sum(part.get(name, 0.0) for part, _ in parts) / images for name in names}
    return {"total_loss": sum(means.values()), **means}


@contextmanager
def _as_in_training(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.train()
    for module in modes:
        if isinstance(module, (_BatchNorm, _DropoutNd)):
            module.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _fixed_random_numbers() -> Iterator[None]:
    states = get_random_states()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    try:
        yield
    finally:
        set_random_states(states)


def _with_progress(loader: Iterable[Any]) -> Iterator[Any]:
    total = len(loader) if isinstance(loader, Sized) else 0
    begin = said = time.perf_counter()
    for index, batch in enumerate(loader):
        yield batch
        now = time.perf_counter()
        if now - said > REPORT and total:
            said = now
            left = (now - begin) / (index + 1) * (total - index - 1)
            logger.info(f"Validation loss: {index + 1} of {total} batches, {left:.0f} s left")
