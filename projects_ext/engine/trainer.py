"""DefaultTrainer for LazyConfig files with Detectron2's conventional keys."""

import logging
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig
from torch import nn

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import instantiate
from detectron2.engine import (
    AMPTrainer,
    DefaultTrainer,
    SimpleTrainer,
    TrainerBase,
    create_ddp_model,
    default_writers,
    hooks,
)
from detectron2.evaluation import (
    DatasetEvaluator,
    DatasetEvaluators,
    inference_on_dataset,
    print_csv_format,
)
from detectron2.solver import LRMultiplier
from detectron2.utils import comm

from .overview import describe_model, describe_training_set

logger = logging.getLogger("detectron2.projects_ext")

Evaluators = DatasetEvaluator | Sequence[DatasetEvaluator] | None


class Trainer(DefaultTrainer):
    """Train what a LazyConfig describes, with DefaultTrainer's hooks, writers and checkpoints.

    Keys: ``model``, ``optimizer``, ``lr_multiplier``, ``dataloader.train / test / evaluator`` and
    ``train`` (see ``configs/common/train.py``). The methods of DefaultTrainer that take a ``cfg``
    take the LazyConfig here.
    """

    def __init__(self, cfg: DictConfig) -> None:
        # DefaultTrainer's own constructor reads a yacs node; the parts below are the same.
        TrainerBase.__init__(self)
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        loader = self.build_train_loader(cfg)
        model = create_ddp_model(model, **cfg.train.ddp)
        loop = AMPTrainer if cfg.train.amp.enabled else SimpleTrainer
        self._trainer = loop(model, loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = DetectionCheckpointer(
            model, cfg.train.output_dir, trainer=weakref.proxy(self)
        )
        self.start_iter = 0
        self.max_iter = cfg.train.max_iter
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on from the output folder's last checkpoint, or load ``train.init_checkpoint``."""
        self.checkpointer.resume_or_load(self.cfg.train.init_checkpoint, resume=resume)
        if resume and self.checkpointer.has_checkpoint():
            self.start_iter = self.iter + 1

    # As in DefaultTrainer, the iterations come from the trainer's own state.
    def train(self) -> OrderedDict[str, Any] | None:  # type: ignore[override]
        """Run the iterations from ``start_iter`` on; return the last evaluation, if any."""
        TrainerBase.train(self, self.start_iter, self.max_iter)
        return getattr(self, "_last_eval_results", None)

    def build_hooks(self) -> list[hooks.HookBase]:
        """Timing, learning rate, checkpoints, evaluation, best checkpoint, writers."""
        train = self.cfg.train
        main_process = comm.is_main_process()
        built: list[hooks.HookBase] = [hooks.IterationTimer(), hooks.LRScheduler()]
        if main_process:
            built.append(hooks.PeriodicCheckpointer(self.checkpointer, **train.checkpointer))
        built.append(hooks.EvalHook(train.eval_period, self._evaluate))
        best = train.best_checkpointer
        if main_process and best.val_metric and train.eval_period > 0:
            built.append(
                hooks.BestCheckpointer(
                    train.eval_period, self.checkpointer, best.val_metric, best.mode
                )
            )
        if main_process:
            # Last, so that it also writes what the other hooks measured.
            built.append(hooks.PeriodicWriter(self.build_writers(), period=train.log_period))
        return built

    def _evaluate(self) -> OrderedDict[str, Any]:
        self._last_eval_results = self.test(self.cfg, self.model)
        return self._last_eval_results

    def build_writers(self) -> list[Any]:
        """Terminal, ``metrics.json`` and TensorBoard."""
        return default_writers(self.cfg.train.output_dir, self.max_iter)

    @classmethod
    def build_model(cls, cfg: DictConfig) -> nn.Module:
        """Instantiate ``cfg.model`` on ``train.device`` and log its size."""
        model = instantiate(cfg.model)
        logger.info(describe_model(model, cfg.train.device))
        return model.to(cfg.train.device)

    @classmethod
    def build_optimizer(cls, cfg: DictConfig, model: nn.Module) -> torch.optim.Optimizer:
        """Instantiate ``cfg.optimizer`` on the model's parameters."""
        cfg.optimizer.params.model = model
        try:
            return instantiate(cfg.optimizer)
        finally:
            # The config is saved and compared later: it must not hold the model.
            del cfg.optimizer.params.model

    @classmethod
    def build_lr_scheduler(
        cls, cfg: DictConfig, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """``cfg.lr_multiplier`` over ``train.max_iter`` iterations."""
        return LRMultiplier(optimizer, instantiate(cfg.lr_multiplier), cfg.train.max_iter)

    @classmethod
    def build_train_loader(cls, cfg: DictConfig) -> Any:
        """Instantiate ``cfg.dataloader.train`` and log what the data set holds."""
        node = cfg.dataloader.train
        dataset = instantiate(node.dataset)
        logger.info(describe_training_set(cfg, dataset))
        return instantiate({**node, "dataset": dataset})

    @classmethod
    def build_test_loader(cls, cfg: DictConfig, dataset_name: str = "") -> Any:
        """Instantiate ``cfg.dataloader.test``; the data set's name is in there."""
        return instantiate(cfg.dataloader.test)

    @classmethod
    def build_evaluator(cls, cfg: DictConfig, dataset_name: str = "") -> DatasetEvaluators:
        """All evaluators of ``cfg.dataloader.evaluator`` (one or a list) as one."""
        nodes = cfg.dataloader.evaluator
        nodes = nodes if isinstance(nodes, ListConfig) else [nodes]
        return DatasetEvaluators([instantiate(node) for node in nodes])

    @classmethod
    def test(
        cls, cfg: DictConfig, model: nn.Module, evaluators: Evaluators = None
    ) -> OrderedDict[str, Any]:
        """Evaluate ``model`` on ``dataloader.test``; print the tables and return the metrics.

        Returns:
            ``{task: {metric: percent}}`` on the main process, ``{}`` on the others.
        """
        loader = cls.build_test_loader(cfg)
        if evaluators is None:
            evaluators = cls.build_evaluator(cfg)
        elif not isinstance(evaluators, DatasetEvaluator):
            evaluators = DatasetEvaluators(list(evaluators))
        results = inference_on_dataset(model, loader, evaluators)
        if comm.is_main_process():
            print_csv_format(results)
        return results
