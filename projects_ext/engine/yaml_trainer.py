"""Training from Detectron2's YAML configs, with this project's keys."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from fvcore.nn.precise_bn import get_bn_modules
from torch import nn

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.detection_utils import build_augmentation
from detectron2.engine import hooks
from detectron2.evaluation import (
    CityscapesInstanceEvaluator,
    COCOEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    verify_results,
)
from detectron2.modeling import build_model
from detectron2.utils import comm
from projects_ext.data import (
    dataset_errors,
    require_label_maps,
    yaml_test_loader,
    yaml_train_loader,
)
from projects_ext.errors import UserError
from projects_ext.evaluation import (
    CheckedPredictions,
    CityscapesSemanticEvaluator,
    PredictionPictures,
    SemanticEvaluator,
    SemanticPictures,
    beyond_standard,
    box_heads_watched,
    channels_watched,
    detection_limit,
    proposal_limit,
    warn_of_crowded_images,
)
from projects_ext.modeling import heads_with_named_poolers, named_poolers

from .base import RunTrainer
from .best_metric import refuse_unknown_metric
from .evaluated_model import for_evaluation
from .instantiation import building
from .key_reads import pause_recording, reads_of, record_reads
from .overview import describe_training_set
from .settings import Settings
from .unused_keys import require_effect

logger = logging.getLogger("detectron2.projects_ext")

# By the `evaluator_type` in a data set's metadata: what makes the evaluator from its name and the
# config. COCO's counts as many detections of an image as the model keeps, if these are over 100.
EVALUATORS: dict[str, Callable[[str, CfgNode], DatasetEvaluator]] = {
    "coco": lambda name, cfg: COCOEvaluator(
        name,
        output_dir=cfg.OUTPUT_DIR,
        max_dets_per_image=beyond_standard(cfg.TEST.DETECTIONS_PER_IMAGE),
    ),
    "sem_seg": lambda name, cfg: SemanticEvaluator(name, output_dir=cfg.OUTPUT_DIR),
    "cityscapes_instance": lambda name, cfg: CityscapesInstanceEvaluator(name),
    "cityscapes_sem_seg": lambda name, cfg: CityscapesSemanticEvaluator(name, cfg.OUTPUT_DIR),
}


READ_OUTSIDE = frozenset(
    {
        # By `default_setup`, or before the config comes here.
        "VERSION",
        "SEED",
        "CUDNN_BENCHMARK",
        "FLOAT32_PRECISION",
        # By what scales the schedule.
        "SOLVER.REFERENCE_WORLD_SIZE",
        "SOLVER.REFERENCE_BATCH_SIZE",
        # By the evaluations.
        "TEST.PICTURES",
        "TEST.EXPECTED_RESULTS",
        "DATASETS.TEST",
    }
)
"""Keys that have an effect although nothing that is built before training reads them."""


class YamlTrainer(RunTrainer):
    """Train what a YAML config describes: keys of Detectron2 and of ``projects_ext.add_config``.

    Model, optimiser, schedule and loaders are DefaultTrainer's; the rest is shared with
    :class:`~projects_ext.engine.Trainer`, the one for LazyConfigs.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """Build all that trains.

        Raises:
            UserError: a key of the command line has no effect.
        """
        super().__init__(record_reads(cfg))
        _mapper(self.cfg, False)  # as the evaluations will
        reads_of(self.cfg).keys.update(READ_OUTSIDE)
        require_effect(self.cfg, [name for name in self.cfg if name != "MODEL"])

    @classmethod
    def prepare(cls, cfg: Any) -> Any:
        """Detectron2's scaling by the number of processes, or this project's by the batch."""
        with pause_recording(cfg):
            return super().prepare(cls.auto_scale_workers(cfg, comm.get_world_size()))

    @classmethod
    def create_model(cls, cfg: CfgNode) -> nn.Module:
        """The model of ``cfg.MODEL``, by Detectron2's registries.

        Raises:
            UserError: the model has no place for a pooler that the config names, or does not read
                another key under ``MODEL`` that the command line sets.
        """
        cfg = _with_named_poolers(record_reads(cfg))
        with building("MODEL"):
            model = build_model(cfg)
        # They also read keys of the model.
        Settings.of(cfg)
        _mapper(cfg, False)
        _require_named_poolers(cfg)
        require_effect(cfg, ["MODEL"])
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of ``cfg.SOLVER``."""
        with building("SOLVER"):
            return super().build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(
        cls, cfg: CfgNode, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """The schedule of ``cfg.SOLVER``."""
        with building("SOLVER"):
            return super().build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        """The loader of ``cfg.DATASETS.TRAIN``; what the data sets hold is logged."""
        loading, data = cfg.DATALOADER, cfg.DATASETS
        with dataset_errors():
            dataset = get_detection_dataset_dicts(
                data.TRAIN,
                filter_empty=loading.FILTER_EMPTY_ANNOTATIONS,
                proposal_files=data.PROPOSAL_FILES_TRAIN if cfg.MODEL.LOAD_PROPOSALS else None,
            )
            require_label_maps(dataset, data.TRAIN)
        logger.info(describe_training_set(Settings.of(cfg), dataset))
        mapper = _mapper(cfg, True)
        with building("DATALOADER"):
            return yaml_train_loader(cfg, dataset, mapper)

    @classmethod
    def training_sets(cls, cfg: CfgNode) -> Sequence[str]:
        """``DATASETS.TRAIN``."""
        return cfg.DATASETS.TRAIN

    @classmethod
    def test_sets(cls, cfg: CfgNode) -> Sequence[str]:
        """``DATASETS.TEST``."""
        return cfg.DATASETS.TEST

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """The loader of one of ``cfg.DATASETS.TEST``."""
        mapper = _mapper(cfg, False)
        with building("DATALOADER"):
            return yaml_test_loader(cfg, dataset_name, mapper)

    @classmethod
    def build_validation_loader(cls, cfg: CfgNode) -> Any:
        """All of ``cfg.DATASETS.TEST`` with ground truth."""
        augmentations = build_augmentation(cfg, is_train=False)
        with building("INPUT"):
            mapper = DatasetMapper(cfg, is_train=True, augmentations=augmentations)
        return chain.from_iterable(
            yaml_test_loader(cfg, name, mapper) for name in cfg.DATASETS.TEST
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """The evaluator of the data set's type, with ``TEST.PICTURES`` pictures.

        Raises:
            UserError: the data set's metadata names no type, or one without an evaluator.
        """
        kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
        if kind not in EVALUATORS:
            raise UserError(
                f"the metadata of {dataset_name} has the evaluator_type {kind!r}: set it to one of "
                f"{', '.join(EVALUATORS)} where the data set is registered"
            )
        with building(f"the evaluator of {dataset_name}"):
            evaluators = [EVALUATORS[kind](dataset_name, cfg)]
        if cfg.TEST.PICTURES:
            drawn = SemanticPictures if kind.endswith("sem_seg") else PredictionPictures
            evaluators.append(drawn(dataset_name, cfg.OUTPUT_DIR, cfg.TEST.PICTURES))
        return DatasetEvaluators(evaluators)

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None = None,
    ) -> Any:
        """As DefaultTrainer's, with ``TEST.AUG``; images and predictions are checked."""
        if evaluators is None:
            evaluators = cls.build_evaluators_for(cfg, model)
        elif isinstance(evaluators, DatasetEvaluator):
            evaluators = [evaluators]
        with channels_watched(model), box_heads_watched(model):
            checked = [CheckedPredictions(part) for part in evaluators]
            return super().test(cfg, for_evaluation(cfg, model), checked)

    @classmethod
    def build_evaluators_for(cls, cfg: CfgNode, model: nn.Module) -> list[DatasetEvaluator]:
        """The evaluator of each data set of ``cfg.DATASETS.TEST``."""
        built = [cls.build_evaluator(cfg, name) for name in cfg.DATASETS.TEST]
        for evaluator in built:
            limit, proposals = detection_limit(model), proposal_limit(model)
            warn_of_crowded_images(evaluator, limit, "TEST.DETECTIONS_PER_IMAGE ", proposals)
        return built

    @classmethod
    def require_evaluable(cls, cfg: CfgNode, model: nn.Module) -> None:
        """Build loaders and evaluators, so that what is wrong with them is said before training."""
        for_evaluation(cfg, model)
        for name in cfg.DATASETS.TEST:
            cls.build_test_loader(cfg, name)
        evaluators = cls.build_evaluators_for(cfg, model)
        if len(evaluators) == 1:  # the names of several begin with that of the data set
            refuse_unknown_metric(Settings.of(cfg).best_metric, evaluators)

    def build_hooks(self) -> list[hooks.HookBase]:
        """The common hooks, with precise BN before those that save and evaluate."""
        built = super().build_hooks()
        if self.cfg.TEST.PRECISE_BN.ENABLED and get_bn_modules(self.model):
            cfg = self.cfg.clone()
            cfg.defrost()
            cfg.DATALOADER.NUM_WORKERS = 0
            loader = self.build_train_loader(cfg)
            period, count = cfg.TEST.EVAL_PERIOD, cfg.TEST.PRECISE_BN.NUM_ITER
            built.insert(2, hooks.PreciseBN(period, self.model, loader, count))
        return built

    def train(self) -> OrderedDict[str, Any] | None:  # type: ignore[override]
        """Train, and check the last evaluation against ``TEST.EXPECTED_RESULTS`` if there are."""
        metrics = super().train()
        if metrics is not None and self.cfg.TEST.EXPECTED_RESULTS and comm.is_main_process():
            verify_results(self.cfg, metrics)
        return metrics


def _mapper(cfg: CfgNode, is_train: bool) -> DatasetMapper:
    with building("INPUT"):
        return DatasetMapper(cfg, is_train)


def _with_named_poolers(cfg: CfgNode) -> CfgNode:
    """The config with RoI heads that follow ``POOLER_NAME``, as ``load_config`` returns it."""
    with pause_recording(cfg):
        heads = heads_with_named_poolers(cfg)
    if heads != cfg.MODEL.ROI_HEADS.NAME:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.ROI_HEADS.NAME = heads
        cfg.freeze()
    return cfg


def _require_named_poolers(cfg: CfgNode) -> None:
    """Refuse a pooler that is named for a head, also in a file, if building it did not read it."""
    with pause_recording(cfg):
        named = named_poolers(cfg)
        heads, architecture = cfg.MODEL.ROI_HEADS.NAME, cfg.MODEL.META_ARCHITECTURE
        if not cfg.MODEL.MASK_ON:
            # No masks, no pooler for them: the config file may say how they would be pooled.
            named.pop("MODEL.ROI_MASK_HEAD.POOLER_NAME", None)
    for key in sorted(named.keys() - reads_of(cfg).keys):
        raise UserError(
            f"{key} is {named[key]}, but {architecture} with MODEL.ROI_HEADS.NAME {heads} does not "
            "read it: leave it out, or use RoI heads that are derived from StandardROIHeads"
        )
