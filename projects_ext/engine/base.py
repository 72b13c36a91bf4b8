"""What training has in common, whichever kind of config describes it."""

import logging
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import nn

from detectron2.engine import DefaultTrainer, TrainerBase, default_writers, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter, TensorboardXWriter
from projects_ext.checkpoint import LoadReport, class_names, load_weights
from projects_ext.checkpoint.sources import Source
from projects_ext.data import require_class_count, require_safe_data, require_same_classes
from projects_ext.errors import user_errors
from projects_ext.evaluation import watch_channels
from projects_ext.zoo.scheme import register_scheme

from .batch_scaling import scale_to_batch
from .best_metric import BestCheckpoints, require_best_metric
from .checkpointing import AtomicCheckpointer
from .ema import CHECKPOINT_KEY, AverageWeights, averaged_copy
from .features import require_features, require_input_channels
from .guards import Guards
from .inputs import require_mask_parts, require_truth
from .options import (
    EarlyStopping,
    EndedEarly,
    KeepNormsFrozen,
    decay_by_layer,
    freeze,
    recompute_backbone,
    validation_losses,
)
from .output_folder import require_room
from .overview import describe_model
from .parallel import plain_norms_where_alone, share_buffers, unwrapped, wrap_for_processes
from .resumed_optimizer import apply_group_options, group_options
from .resuming import require_last_checkpoint
from .settings import Settings
from .step import PassOnAfterBackward, TrainStep
from .tracking import track_metrics

logger = logging.getLogger("detectron2.projects_ext")

register_scheme()


class _UntaggedCheckpointer(AtomicCheckpointer):
    """Saves a file without making it the last checkpoint, the one that a run resumes from."""

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Leave the tag where it is: to resume from the best one would be to go back in time."""


class RunTrainer(DefaultTrainer):
    """DefaultTrainer with mixed precision, clipping, averaged weights, on any device.

    Subclasses say in the ``build_*`` class methods how their kind of config is read; the rest of
    this class knows a config by its :class:`Settings` alone.

    Attributes:
        settings: what the run needs to know from its config.
        average: the averaged weights as an ``AveragedModel``, or None.
    """

    def __init__(self, cfg: Any) -> None:
        # DefaultTrainer's own constructor reads a yacs node; the parts below are the same.
        TrainerBase.__init__(self)
        self.cfg = cfg = self.prepare(cfg)
        self.settings = settings = Settings.of(cfg)
        model = self.build_model(cfg)
        data_sets = [*self.training_sets(cfg), *self.test_sets(cfg)]
        require_class_count(model, data_sets)
        require_safe_data(data_sets)
        self.require_evaluable(cfg, model)
        self._frozen_norms = freeze(model, settings.freeze)
        if settings.recompute:
            recompute_backbone(model)
        optimizer = self.build_optimizer(cfg, model)
        decay_by_layer(optimizer, model, settings.layer_decay)
        loader = self.build_train_loader(cfg)
        require_truth(model, loader)
        # Some data sets know their classes only once they have been loaded.
        require_same_classes(self.training_sets(cfg), self.test_sets(cfg))
        self.average = averaged_copy(model, settings.ema_decay) if settings.ema_decay else None
        model = wrap_for_processes(model, settings.ddp)
        watch_channels(model)
        self._trainer: TrainStep = TrainStep(
            model,
            loader,
            optimizer,
            amp_dtype=settings.amp_dtype,
            max_grad_norm=settings.max_grad_norm,
            grad_norm_type=settings.grad_norm_type,
            accumulate=settings.accumulate,
        )
        self._trainer.register_hooks([PassOnAfterBackward(self)])
        self._guards = Guards(self._trainer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        kept: dict[str, Any] = {"trainer": weakref.proxy(self)}
        if self.average is not None:
            kept[CHECKPOINT_KEY] = self.average
        about: dict[str, Any] = {"classes": self.class_names(), **kept}
        self.checkpointer = AtomicCheckpointer(model, settings.output_dir, **about)
        self._best_checkpointer = _UntaggedCheckpointer(model, settings.output_dir, **about)
        if comm.is_main_process():
            weights = model.state_dict().values()
            require_room(settings.output_dir, sum(one.nbytes for one in weights))
        self.start_iter = 0
        self.max_iter = settings.max_iter
        self.register_hooks(self.build_hooks())

    @classmethod
    def prepare(cls, cfg: Any) -> Any:
        """The config as it will run: schedule and learning rate for the actual batch size.

        Doing so twice changes nothing.
        """
        return scale_to_batch(cfg)

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on from the output folder's last checkpoint, or load the config's weights."""
        if resume and self.checkpointer.has_checkpoint():
            options = group_options(self._trainer.optimizer)
            self.checkpointer.resume_or_load("", resume=True)
            apply_group_options(self._trainer.optimizer, self.scheduler, options)
            if self.settings.init_checkpoint:
                file = self.checkpointer.get_checkpoint_file()
                logger.info(
                    f"--resume continues from {file}; the initial weights "
                    f"{self.settings.init_checkpoint} are not read"
                )
            self.start_iter = self.iter + 1
            self._say_if_finished()
            return
        if resume:
            require_last_checkpoint(self.settings.output_dir)
            logger.info(
                f"--resume: there is no checkpoint in {self.settings.output_dir}: training starts "
                "from the beginning"
            )
        if self.settings.init_checkpoint:
            classes, settings = self.class_names(), self.settings
            self.load_weights(self.model, settings.init_checkpoint, settings, classes)

    def _say_if_finished(self) -> None:
        if self.start_iter >= self.max_iter:
            logger.warning(
                f"--resume: {self.checkpointer.get_checkpoint_file()} has been trained for "
                f"{self.start_iter} iterations and the config asks for {self.max_iter}: there is "
                "nothing left to train; to train on, raise train.max_iter (YAML: SOLVER.MAX_ITER)"
            )

    def class_names(self) -> list[str] | None:
        """The names of the model's classes in order: those of the data that it is trained on."""
        return class_names(self.training_sets(self.cfg)) or class_names(self.test_sets(self.cfg))

    @staticmethod
    def load_weights(
        model: nn.Module, source: Source, settings: Settings, classes: Sequence[str] | None = None
    ) -> LoadReport:
        """Load weights of any known family, and log what was loaded and what was not.

        ``classes``, the names of the model's, are compared with those that the file names.
        """
        with user_errors():
            trust = settings.trust_checkpoint
            report = load_weights(model, source, classes=classes, trust=trust)
        logger.info(report)
        return report

    # As in DefaultTrainer, the iterations come from the trainer's own state.
    def train(self) -> OrderedDict[str, Any] | None:  # type: ignore[override]
        """Run the iterations from ``start_iter`` on; return the last evaluation, if any."""
        with self._guards.training(self, self.checkpointer), suppress(EndedEarly):
            TrainerBase.train(self, self.start_iter, self.max_iter)
        return getattr(self, "_last_eval_results", None)

    def run_step(self) -> None:
        """One iteration; the hooks' ``after_backward`` comes from within."""
        self._trainer.iter = self.iter
        with self._guards.step(self):
            self._trainer.run_step()

    def build_hooks(self) -> list[hooks.HookBase]:
        """Timing, learning rate, averaging, checkpoints, evaluation, best checkpoint, writers."""
        settings = self.settings
        main_process = comm.is_main_process()
        built: list[hooks.HookBase] = [hooks.IterationTimer(), hooks.LRScheduler()]
        if self.average is not None:
            built.append(AverageWeights(self.average, self.model))
        if self._frozen_norms:
            built.append(KeepNormsFrozen(self._frozen_norms))
        built += self._guards.hooks
        if main_process:
            built.append(hooks.PeriodicCheckpointer(self.checkpointer, **settings.checkpointer))
        built.append(hooks.EvalHook(settings.eval_period, self._evaluate))
        if main_process and settings.best_metric and settings.eval_period > 0:
            built.append(
                BestCheckpoints(
                    settings.eval_period,
                    self._best_checkpointer,
                    settings.best_metric,
                    settings.best_mode,
                )
            )
        elif main_process and settings.best_metric:
            logger.info(
                "No best checkpoint is kept: train.eval_period (YAML: TEST.EVAL_PERIOD) is "
                f"{settings.eval_period}"
            )
        if settings.patience:
            built.append(self._early_stopping())
        built += self.extra_hooks(self.cfg)
        if main_process:
            # Last, so that it also writes what the other hooks measured.
            built.append(hooks.PeriodicWriter(self.build_writers(), period=settings.log_period))
            built += track_metrics(settings, self.cfg)
        return built

    def _early_stopping(self) -> EarlyStopping:
        settings = self.settings
        return EarlyStopping(
            settings.eval_period,
            settings.best_metric,
            settings.best_mode,
            settings.patience,
            settings.min_delta,
            Path(settings.output_dir) / "metrics.json",
        )

    def _evaluate(self) -> Any:
        model = self.model if self.average is None else self.average.module
        share_buffers(model)
        with self._guards.evaluation():
            self._last_eval_results = self.test(self.cfg, model)
            if self.settings.validation_loss:
                self._last_eval_results |= self._validation_losses(model)
        if comm.is_main_process():
            require_best_metric(self.settings.best_metric, self._last_eval_results, self)
        return self._last_eval_results

    def _validation_losses(self, model: nn.Module) -> dict[str, dict[str, float]]:
        loader = self.build_validation_loader(self.cfg)
        losses = validation_losses(unwrapped(model), loader, self.settings.amp_dtype)
        logger.info(
            "Losses on the validation data: "
            + ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        )
        return {"validation": losses} if comm.is_main_process() else {}

    def build_writers(self) -> list[Any]:
        """Terminal, ``metrics.json`` and TensorBoard."""
        writers = default_writers(self.settings.output_dir, self.max_iter)
        if not self.settings.tensorboard:
            writers = [one for one in writers if not isinstance(one, TensorboardXWriter)]
        return [*writers, *self.extra_writers(self.cfg)]

    @classmethod
    def extra_hooks(cls, cfg: Any) -> list[hooks.HookBase]:
        """Hooks that the config describes."""
        return []

    @classmethod
    def extra_writers(cls, cfg: Any) -> list[EventWriter]:
        """Writers of metrics that the config describes."""
        return []

    @classmethod
    def build_validation_loader(cls, cfg: Any) -> Any:
        """Batches of the validation data with ground truth, augmented as for evaluation."""
        raise NotImplementedError(f"{cls.__name__} must say how its configs read validation data")

    @classmethod
    def build_model(cls, cfg: Any) -> nn.Module:
        """The config's model on its device, with SyncBN where that works; its size is logged."""
        settings = Settings.of(cfg)
        model = plain_norms_where_alone(cls.create_model(cfg), settings.on_gpu)
        require_features(model)
        require_input_channels(model)
        require_mask_parts(model)
        logger.info(describe_model(model, settings.device))
        return model.to(settings.device)

    @classmethod
    def training_sets(cls, cfg: Any) -> Sequence[str]:
        """The names of the data sets to train on, as far as the config tells them."""
        return ()

    @classmethod
    def test_sets(cls, cfg: Any) -> Sequence[str]:
        """The names of the data sets to evaluate on, as far as the config tells them."""
        return ()

    @classmethod
    def create_model(cls, cfg: Any) -> nn.Module:
        """The model as the config describes it."""
        raise NotImplementedError(f"{cls.__name__} must say how its configs describe a model")

    @classmethod
    def require_evaluable(cls, cfg: Any, model: nn.Module) -> None:
        """Refuse, before training, data or evaluators with which the model cannot be evaluated."""
