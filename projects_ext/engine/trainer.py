"""Training from LazyConfig files with Detectron2's conventional keys."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from detectron2.engine import HookBase
from detectron2.evaluation import (
    DatasetEvaluator,
    DatasetEvaluators,
    inference_on_dataset,
    print_csv_format,
)
from detectron2.solver import LRMultiplier
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from projects_ext.data import dataset_errors, require_label_maps
from projects_ext.errors import UserError
from projects_ext.evaluation import (
    CheckedPredictions,
    box_heads_watched,
    channels_watched,
    detection_limit,
    follow_model,
    lazy_key,
    proposal_limit,
    warn_of_crowded_images,
)

from .base import RunTrainer
from .best_metric import refuse_unknown_metric
from .evaluated_model import for_evaluation
from .instantiation import build, building
from .overview import describe_training_set
from .settings import Settings
from .unused_keys import warn_of_unread_lazy_keys

logger = logging.getLogger("detectron2.projects_ext")

Evaluators = DatasetEvaluator | Sequence[DatasetEvaluator] | None


def _names(dataset: DictConfig) -> list[str]:
    names = dataset.get("names", ())
    names = build(names, "dataset.names") if isinstance(names, DictConfig) else names
    return [names] if isinstance(names, str) else list(names)


Kind = TypeVar("Kind")


def _all_of(nodes: Sequence[Any], key: str, kind: type[Kind]) -> list[Kind]:
    """What the nodes describe.

    Raises:
        UserError: something else than ``kind``.
    """
    built = [build(node, f"{key}.{index}") for index, node in enumerate(nodes)]
    for index, one in enumerate(built):
        if not isinstance(one, kind):
            raise UserError(
                f"{key}.{index} is {type(one).__name__}: it must describe a {kind.__module__}."
                f"{kind.__qualname__}, e.g. L(MyClass)(option=1)"
            )
    return built


class Trainer(RunTrainer):
    """Train what a LazyConfig describes, with DefaultTrainer's hooks, writers and checkpoints.

    Keys: ``model``, ``optimizer``, ``lr_multiplier``, ``dataloader.train / test / evaluator`` and
    ``train`` (see ``configs/common/train.py``). The methods of DefaultTrainer that take a ``cfg``
    take the LazyConfig here.
    """

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg)
        warn_of_unread_lazy_keys(self.cfg)

    @classmethod
    def create_model(cls, cfg: DictConfig) -> nn.Module:
        """Instantiate ``cfg.model``."""
        return build(cfg.model, "model")

    @classmethod
    def build_optimizer(cls, cfg: DictConfig, model: nn.Module) -> torch.optim.Optimizer:
        """Instantiate ``cfg.optimizer`` on the model's parameters."""
        cfg.optimizer.params.model = model
        try:
            return build(cfg.optimizer, "optimizer")
        finally:
            # The config is saved and compared later: it must not hold the model.
            del cfg.optimizer.params.model

    @classmethod
    def build_lr_scheduler(
        cls, cfg: DictConfig, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """``cfg.lr_multiplier`` over ``train.max_iter`` iterations."""
        multiplier = build(cfg.lr_multiplier, "lr_multiplier")
        with building("lr_multiplier"):
            return LRMultiplier(optimizer, multiplier, cfg.train.max_iter)

    @classmethod
    def build_train_loader(cls, cfg: DictConfig) -> Any:
        """Instantiate ``cfg.dataloader.train`` and log what the data set holds."""
        node = cfg.dataloader.train
        with dataset_errors():
            dataset = build(node.dataset, "dataloader.train.dataset", dataset_errors)
            require_label_maps(dataset, cls.training_sets(cfg))
        logger.info(describe_training_set(Settings.of(cfg), dataset))
        return build({**node, "dataset": dataset}, "dataloader.train")

    @classmethod
    def training_sets(cls, cfg: DictConfig) -> Sequence[str]:
        """``dataloader.train.dataset.names``, if the data set is described by names."""
        return _names(cfg.dataloader.train.dataset)

    @classmethod
    def test_sets(cls, cfg: DictConfig) -> Sequence[str]:
        """``dataloader.test.dataset.names``, if the data set is described by names."""
        return _names(cfg.dataloader.test.dataset)

    @classmethod
    def build_test_loader(cls, cfg: DictConfig, dataset_name: str = "") -> Any:
        """Instantiate ``cfg.dataloader.test``; the data set's name is in there."""
        return build(cfg.dataloader.test, "dataloader.test", dataset_errors)

    @classmethod
    def build_validation_loader(cls, cfg: DictConfig) -> Any:
        """``dataloader.test`` with the mapper of ``dataloader.train``, augmented as the test is."""
        data = cfg.dataloader
        mapper = OmegaConf.merge(data.train.mapper, {"augmentations": []})
        mapper.augmentations = data.test.mapper.augmentations
        return build({**data.test, "mapper": mapper}, "dataloader.test", dataset_errors)

    @classmethod
    def extra_hooks(cls, cfg: DictConfig) -> list[HookBase]:
        """``train.hooks``."""
        return _all_of(cfg.train.get("hooks") or (), "train.hooks", HookBase)

    @classmethod
    def extra_writers(cls, cfg: DictConfig) -> list[EventWriter]:
        """``train.writers``."""
        return _all_of(cfg.train.get("writers") or (), "train.writers", EventWriter)

    @classmethod
    def build_evaluator(cls, cfg: DictConfig, dataset_name: str = "") -> DatasetEvaluators:
        """All evaluators of ``cfg.dataloader.evaluator`` (one or a list) as one."""
        nodes = cfg.dataloader.evaluator
        if isinstance(nodes, ListConfig):
            return DatasetEvaluators(list(build(nodes, "dataloader.evaluator")))
        return DatasetEvaluators([build(nodes, "dataloader.evaluator")])

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
            evaluators = cls.build_evaluator_for(cfg, model)
        elif not isinstance(evaluators, DatasetEvaluator):
            evaluators = DatasetEvaluators(list(evaluators))
        with channels_watched(model), box_heads_watched(model):
            evaluated = for_evaluation(cfg, model)
            results = inference_on_dataset(evaluated, loader, CheckedPredictions(evaluators))
        if comm.is_main_process():
            print_csv_format(results)
        return results

    @classmethod
    def build_evaluator_for(cls, cfg: DictConfig, model: nn.Module) -> DatasetEvaluator:
        """As :meth:`build_evaluator`; as many detections count as the model keeps, if over 100."""
        limit = detection_limit(model)
        built = cls.build_evaluator(follow_model(cfg, limit))
        key = f"{lazy_key(cfg, limit)}=" if limit else ""
        warn_of_crowded_images(built, limit, key, proposal_limit(model))
        return built

    @classmethod
    def require_evaluable(cls, cfg: DictConfig, model: nn.Module) -> None:
        """Build loader and evaluators, so that what is wrong with them is said before training."""
        for_evaluation(cfg, model)
        cls.build_test_loader(cfg)
        evaluator = cls.build_evaluator_for(cfg, model)
        refuse_unknown_metric(Settings.of(cfg).best_metric, [evaluator])
