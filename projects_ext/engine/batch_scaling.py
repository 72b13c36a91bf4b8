"""The linear scaling rule: a schedule that was written for another batch size.

Goyal et al., "Accurate, Large Minibatch SGD" (arXiv 1706.02677), section 2.1: the learning rate
grows with the batch, and what is counted in iterations shrinks with it, so that the number of
epochs stays.
"""

import copy
import logging

from omegaconf import DictConfig

from detectron2.config import CfgNode
from projects_ext.errors import UserError

from .config_files import Config

logger = logging.getLogger("detectron2.projects_ext")


def scale_to_batch(cfg: Config) -> Config:
    """The config for the batch size that it has, if it says which one it was written for.

    That key is ``train.reference_batch_size`` (YAML: ``SOLVER.REFERENCE_BATCH_SIZE``), 0 for no
    scaling. Batches that are accumulated for one update count as one. In the result the key is the
    actual batch size: scaling twice changes nothing, and a saved config is what ran. The
    learning-rate schedule of a LazyConfig counts in fractions of the run, so its warm-up and steps
    follow ``max_iter`` by themselves.

    Returns:
        ``cfg`` itself, or a scaled copy of it.

    Raises:
        UserError: the reference is negative; there is no learning rate to scale; or
            SOLVER.REFERENCE_WORLD_SIZE asks for the same in another way.
    """
    return _scale_yaml(cfg) if isinstance(cfg, CfgNode) else _scale_lazy(cfg)


def _ratio(reference: int, batch: int) -> float:
    if reference < 0:
        raise UserError(
            f"the reference batch size is {reference}: give the one that the schedule was written "
            "for, or 0 for no scaling"
        )
    return batch / reference if reference else 1.0


def _fewer(iterations: int, ratio: float) -> int:
    return max(1, round(iterations / ratio)) if iterations > 0 else iterations


def _announce(reference: int, batch: int, rate: float, iterations: int) -> None:
    logger.info(
        f"Scaled from batch {reference} to {batch}: learning rate {rate:.6g}, {iterations} "
        "iterations; warm-up, steps and periods accordingly"
    )


def _scale_lazy(cfg: DictConfig) -> DictConfig:
    reference = cfg.train.get("reference_batch_size", 0)
    batch = cfg.dataloader.train.total_batch_size * cfg.train.get("accumulate", 1)
    ratio = _ratio(reference, batch)
    if ratio == 1.0:
        return cfg
    if "lr" not in cfg.optimizer:
        raise UserError(
            "train.reference_batch_size scales optimizer.lr, which this config does not have: set "
            "the key to 0 and the learning rate by hand"
        )
    cfg = copy.deepcopy(cfg)
    cfg.optimizer.lr *= ratio
    train = cfg.train
    train.reference_batch_size = batch
    for node, key in ((train, "max_iter"), (train, "eval_period"), (train.checkpointer, "period")):
        node[key] = _fewer(node[key], ratio)
    _announce(reference, batch, cfg.optimizer.lr, train.max_iter)
    return cfg


def _scale_yaml(cfg: CfgNode) -> CfgNode:
    reference = cfg.SOLVER.REFERENCE_BATCH_SIZE
    batch = cfg.SOLVER.IMS_PER_BATCH * cfg.SOLVER.ACCUMULATE
    ratio = _ratio(reference, batch)
    if reference and cfg.SOLVER.REFERENCE_WORLD_SIZE:
        raise UserError(
            "SOLVER.REFERENCE_BATCH_SIZE and SOLVER.REFERENCE_WORLD_SIZE both scale the learning "
            "rate: set one of them to 0"
        )
    if ratio == 1.0:
        return cfg
    frozen, cfg = cfg.is_frozen(), cfg.clone()
    cfg.defrost()
    solver = cfg.SOLVER
    solver.BASE_LR *= ratio
    solver.REFERENCE_BATCH_SIZE = batch
    solver.STEPS = tuple(_fewer(step, ratio) for step in solver.STEPS)
    for node, key in (
        (solver, "MAX_ITER"),
        (solver, "WARMUP_ITERS"),
        (solver, "CHECKPOINT_PERIOD"),
        (cfg.TEST, "EVAL_PERIOD"),
    ):
        node[key] = _fewer(node[key], ratio)
    if frozen:
        cfg.freeze()
    _announce(reference, batch, solver.BASE_LR, solver.MAX_ITER)
    return cfg
