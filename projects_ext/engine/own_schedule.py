"""A published schedule for a data set of another size.

The rule: 4 images per iteration (or the experiment's batch, if that is smaller) and the learning
rate in proportion (arXiv 1706.02677, section 2.1); 24 epochs, of label maps 60, but at least 500
iterations, and at most as many images as the experiment has seen; a warm-up as long as the
experiment's, but of a tenth of the run at most; decay at the same fractions of the run; ten
evaluations. Every result is a key of its own, and what the command line sets stays as it is.
"""

import math
from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf

from projects_ext.data.validate import say
from projects_ext.errors import UserError

BATCH = 4
EPOCHS, EPOCHS_OF_MAPS = 24, 60
LONGEST_WARMUP = 0.1
EVALUATIONS = 10


def fit_schedule(
    cfg: DictConfig, wished: DictConfig, given: Collection[str], images: int, of_maps: bool
) -> None:
    """Write batch size, learning rate, iterations and what follows into a config.

    Args:
        cfg: changed; with the experiment's own values.
        wished: the same with the command line's changes.
        given: the keys that these set.
        images: to train on.
        of_maps: whether the model learns label maps.

    Raises:
        UserError: ``data.epochs`` or another of its limits cannot be.
    """
    train, data = cfg.train, wished.data
    for key in ("epochs", "min_iterations", "max_iterations"):
        value = data[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise UserError(f"data.{key} is {value!r}: give a number, or 0 for the default")
    reference = train.get("reference_batch_size", 0) or cfg.dataloader.train.total_batch_size
    before = int(train.max_iter)
    batch = wished.dataloader.train.total_batch_size
    if "dataloader.train.total_batch_size" not in given:
        batch = cfg.dataloader.train.total_batch_size = min(reference, BATCH)
    batch *= wished.train.get("accumulate", 1)  # of an update
    epochs = data.epochs or (EPOCHS_OF_MAPS if of_maps else EPOCHS)
    most = int(data.max_iterations) or math.ceil(before * reference / batch)
    iterations = min(max(math.ceil(epochs * images / batch), int(data.min_iterations)), most)
    iterations = max(iterations, 1)

    def put(node: Any, key: str, full: str, value: Any) -> None:
        if full not in given:
            node[key] = value

    if "lr" in cfg.optimizer and "optimizer.lr" not in given:
        cfg.optimizer.lr = cfg.optimizer.lr * batch / reference
    put(train, "reference_batch_size", "train.reference_batch_size", batch)
    put(train, "max_iter", "train.max_iter", iterations)
    iterations = wished.train.max_iter if "train.max_iter" in given else iterations
    period = max(1, math.ceil(iterations / EVALUATIONS))
    shown = wished.train.eval_period if "train.eval_period" in given else period
    limit = ""
    if iterations == most < epochs * images / batch:
        own = "data.max_iterations" if data.max_iterations else "as many images as the experiment"
        limit = f", at most {own}" + ("" if data.max_iterations else ": see data.max_iterations")
    put(train, "eval_period", "train.eval_period", period)
    put(train.checkpointer, "period", "train.checkpointer.period", period)
    warmup = OmegaConf.select(cfg, "lr_multiplier.warmup_length")
    if warmup is not None:
        share = min(warmup * before / iterations, LONGEST_WARMUP)
        put(cfg.lr_multiplier, "warmup_length", "lr_multiplier.warmup_length", share)
    rate = wished.optimizer.lr if "optimizer.lr" in given else cfg.optimizer.get("lr")
    say(
        f"Schedule for {images} images: batch {batch}, learning rate {rate:.6g}, {iterations} "
        f"iterations ({iterations * batch / images:.1f} epochs{limit}), evaluated every {shown}; "
        "other values by dataloader.train.total_batch_size, optimizer.lr, data.epochs or "
        "train.max_iter"
        if rate is not None
        else f"Schedule for {images} images: batch {batch}, {iterations} iterations"
    )
