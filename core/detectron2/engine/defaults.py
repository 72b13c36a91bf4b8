"""The standard training program and predictor of YAML-style configurations.

They assume the usual things (a detection data set, SGD, the stock hooks). A program with other
wishes overrides :class:`DefaultTrainer`'s ``build_*`` methods, or puts its own together from
``train_loop`` and ``hooks``.
"""

import logging
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from fvcore.nn.precise_bn import get_bn_modules
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.config.lazy import LazyConfig  # noqa: F401
from detectron2.data.build import build_detection_test_loader, build_detection_train_loader
from detectron2.data.catalog import MetadataCatalog  # noqa: F401
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.evaluation.testing import print_csv_format, verify_results
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info  # noqa: F401
from detectron2.utils.env import seed_all_rng  # noqa: F401
from detectron2.utils.events import CommonMetricPrinter, EventWriter, JSONWriter, TensorboardXWriter  # noqa: F401
from detectron2.utils.logger import setup_logger
from detectron2.utils.unavailable import INTERNALS, unavailable

from . import hooks
from ._auto_scale import scale_schedule
from .predictor import DefaultPredictor
from .setup import _lookup as _try_get_key  # noqa: F401
from .setup import (
    _set_float32_precision,  # noqa: F401
    create_ddp_model,
    default_argument_parser,
    default_setup,
    default_writers,
)
from .train_loop import AMPTrainer, HookBase, SimpleTrainer, TrainerBase

__all__ = [
    "DefaultPredictor",
    "DefaultTrainer",
    "create_ddp_model",
    "default_argument_parser",
    "default_setup",
    "default_writers",
]

logger = logging.getLogger(__name__)


class _ForwardAfterBackward(HookBase):
    """In the inner trainer: tells the outer one's hooks that the gradients are there."""

    def __init__(self, outer: TrainerBase) -> None:
        self._outer = weakref.proxy(outer)

    def after_backward(self) -> None:
        self._outer.after_backward()


class DefaultTrainer(TrainerBase):
    """Training as a YAML-style configuration describes it.

    The constructor builds model, optimizer, data loader, schedule, checkpointer and hooks with the
    ``build_*`` methods; :meth:`resume_or_load` loads weights; :meth:`train` does the rest. An
    iteration itself is that of the inner ``SimpleTrainer`` or, with ``SOLVER.AMP.ENABLED``,
    ``AMPTrainer``.

    Attributes:
        cfg: the configuration, after :meth:`auto_scale_workers`.
        scheduler: the learning-rate schedule.
        checkpointer: saves the model, and under "trainer" this object's state.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):
            setup_logger()  # without default_setup nothing would be shown
        cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        loader = self.build_train_loader(cfg)
        inner = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
        # Detection models' BatchNorm is frozen or synchronised: no buffers need broadcasting.
        parallel = create_ddp_model(model, broadcast_buffers=False)
        self._trainer: SimpleTrainer = inner(parallel, loader, optimizer)
        self._trainer.register_hooks([_ForwardAfterBackward(self)])
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        # A proxy, so that trainer and checkpointer do not keep each other alive.
        self.checkpointer = DetectionCheckpointer(
            model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        self.cfg: Any = cfg  # subclasses may have another kind of configuration
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True) -> None:
        """Load weights, or with ``resume`` everything of the last checkpoint.

        If ``resume`` and the output folder has a checkpoint, model, optimizer, schedule and
        iteration are loaded from it and training goes on with the next iteration. Otherwise the
        weights of ``MODEL.WEIGHTS`` are loaded and training starts at iteration 0.
        """
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resume and self.checkpointer.has_checkpoint():
            self.start_iter = self.iter + 1

    def build_hooks(self) -> list[HookBase]:
        """Timer, schedule, precise BN, checkpoints, evaluation, writers, in this order.

        Checkpoints come before the evaluation, so that one that fails costs no training; the
        writers last, so that they write what the others record.
        """
        cfg, is_main = self.cfg, comm.is_main_process()
        result: list[HookBase] = [hooks.IterationTimer(), hooks.LRScheduler()]
        if cfg.TEST.PRECISE_BN.ENABLED and get_bn_modules(self.model):
            result.append(self._precise_bn_hook())
        if is_main:
            period = cfg.SOLVER.CHECKPOINT_PERIOD
            result.append(hooks.PeriodicCheckpointer(self.checkpointer, period))
        result.append(hooks.EvalHook(cfg.TEST.EVAL_PERIOD, self._evaluate))
        if is_main:
            result.append(hooks.PeriodicWriter(self.build_writers(), period=20))
        return result

    def _precise_bn_hook(self) -> HookBase:
        """The hook of ``TEST.PRECISE_BN``, with a training loader of its own."""
        cfg = self.cfg.clone()
        cfg.defrost()
        cfg.DATALOADER.NUM_WORKERS = 0  # rarely used: worker processes would lie idle
        test, loader = cfg.TEST, self.build_train_loader(cfg)
        return hooks.PreciseBN(test.EVAL_PERIOD, self.model, loader, test.PRECISE_BN.NUM_ITER)

    def _evaluate(self) -> Any:
        """What the evaluation hook calls."""
        self._last_eval_results = self.test(self.cfg, self.model)
        return self._last_eval_results

    def build_writers(self) -> list[EventWriter]:
        """The writers of metrics, by default :func:`default_writers`."""
        return default_writers(self.cfg.OUTPUT_DIR, self.max_iter)

    def train(self) -> Any:  # type: ignore[override]  # the iterations come from the configuration
        """Train from ``start_iter`` to ``SOLVER.MAX_ITER``.

        Returns:
            the last evaluation's results, if ``TEST.EXPECTED_RESULTS`` asks to verify them.
        """
        super().train(self.start_iter, self.max_iter)
        if not (len(self.cfg.TEST.EXPECTED_RESULTS) and comm.is_main_process()):
            return None
        results = getattr(self, "_last_eval_results", None)
        if results is None:
            raise RuntimeError("TEST.EXPECTED_RESULTS is set, but no evaluation has run.")
        verify_results(self.cfg, results)
        return results

    def run_step(self) -> None:
        """One iteration of the inner trainer."""
        self._trainer.iter = self.iter
        self._trainer.run_step()

    def state_dict(self) -> dict[str, Any]:
        """Iteration, hooks' states and the inner trainer's state."""
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    @property
    def model(self) -> nn.Module:
        """The model, in a ``DistributedDataParallel`` where there are several processes."""
        return self._trainer.model

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer."""
        return self._trainer.optimizer

    @property
    def data_loader(self) -> Iterable[Any]:
        """The training batches."""
        return self._trainer.data_loader

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """The model of ``cfg.MODEL``, which is also logged."""
        model = build_model(cfg)
        logger.info(f"Model:\n{model}")
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of ``cfg.SOLVER``."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        """The learning-rate schedule of ``cfg.SOLVER``."""
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[Any]:
        """Endless training batches of ``cfg.DATASETS.TRAIN``."""
        return build_detection_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[Any]:
        """All images of a data set once."""
        return build_detection_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator | None:
        """The evaluator of a data set. There is none by default: subclasses implement it."""
        raise NotImplementedError(
            f"{cls.__name__} has no evaluator for {dataset_name}: implement build_evaluator in a "
            "subclass, or pass evaluators to test()."
        )

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None = None,
    ) -> dict[str, Any]:
        """Evaluate ``model`` on the data sets of ``cfg.DATASETS.TEST``. All processes call it.

        Args:
            evaluators: one for each data set; by default those of :meth:`build_evaluator`. A data
                set without one is skipped, with a warning.

        Returns:
            the results by data set, or those of the data set, if there is only one.

        Raises:
            ValueError: if there are more or fewer evaluators than data sets.
        """
        names = cfg.DATASETS.TEST
        given = [evaluators] if isinstance(evaluators, DatasetEvaluator) else evaluators
        if given is not None and len(given) != len(names):
            raise ValueError(
                f"{len(given)} evaluators were given for the {len(names)} data sets of "
                f"DATASETS.TEST: {tuple(names)}."
            )
        results: dict[str, Any] = OrderedDict()
        for index, name in enumerate(names):
            evaluator = given[index] if given is not None else cls._evaluator_or_none(cfg, name)
            if evaluator is None:
                results[name] = {}
                continue
            loader = cls.build_test_loader(cfg, name)
            found = results[name] = inference_on_dataset(model, loader, evaluator)
            if comm.is_main_process():
                if not isinstance(found, dict):
                    raise TypeError(f"The evaluator of {name} must return a dict, got {found!r}.")
                logger.info(f"Evaluation results for {name} in csv format:")
                print_csv_format(found)
        return next(iter(results.values())) if len(results) == 1 else results

    @classmethod
    def _evaluator_or_none(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator | None:
        try:
            return cls.build_evaluator(cfg, dataset_name)
        except NotImplementedError as error:
            logger.warning(f"No evaluation on {dataset_name}: {error}")
            return None

    @staticmethod
    def auto_scale_workers(cfg: CfgNode, num_workers: int) -> CfgNode:
        """Adapt the schedule of ``cfg`` to the number of processes, by the linear scaling rule.

        Where ``SOLVER.REFERENCE_WORLD_SIZE`` is set and differs from ``num_workers``, batch size
        and learning rate are scaled with their ratio and everything counted in iterations against
        it, so that the batch per process and the number of epochs stay (Goyal et al., "Accurate,
        Large Minibatch SGD", section 2.1).

        Returns:
            ``cfg`` itself, or a scaled copy (frozen if ``cfg`` is) whose reference is
            ``num_workers``, so that scaling it once more changes nothing.

        Raises:
            ValueError: if the reference batch does not divide among the reference processes.
        """
        reference = cfg.SOLVER.REFERENCE_WORLD_SIZE
        if reference in (0, num_workers):
            return cfg
        scaled = scale_schedule(cfg, num_workers)
        solver = scaled.SOLVER
        logger.info(
            f"Auto-scaled from {reference} to {num_workers} processes: "
            f"batch_size={solver.IMS_PER_BATCH}, learning_rate={solver.BASE_LR}, "
            f"max_iter={solver.MAX_ITER}, warmup={solver.WARMUP_ITERS}."
        )
        return scaled


_highlight = unavailable(__name__, INTERNALS, "_highlight")
_attr = "optimizer"
