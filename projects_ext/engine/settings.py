"""What a run needs to know from its config, whichever kind that is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf

from detectron2.config import CfgNode
from projects_ext.errors import UserError

from .config_check import check_run
from .config_files import Config
from .devices import torch_device
from .output_folder import KEYS as OUTPUT_KEYS

_LOG_FILES = (".txt", ".log")
"""The endings by which Detectron2's ``setup_logger`` tells a file from a folder."""
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Settings:
    """The run's part of a config. ``configs/common/train.py`` and ``projects_ext.add_config``
    document the keys that it comes from.
    """

    output_dir: str
    init_checkpoint: str
    # Whether that file may run the code in it.
    trust_checkpoint: bool
    # Whether evaluation accepts weights that leave parts of the model random.
    allow_missing_weights: bool
    # Whether it takes classes none of which has a name of the data set's for the same ones.
    allow_other_classes: bool
    device: str
    batch_size: int
    max_iter: int
    eval_period: int
    log_period: int
    # Arguments of Detectron2's PeriodicCheckpointer and of DistributedDataParallel.
    checkpointer: Mapping[str, Any]
    ddp: Mapping[str, Any]
    # Batches per update of the weights.
    accumulate: int
    # Names of what is not trained.
    freeze: tuple[str, ...]
    layer_decay: float
    recompute: bool
    # Evaluations without improvement until the training ends; 0: it does not.
    patience: int
    min_delta: float
    validation_loss: bool
    best_metric: str
    best_mode: Literal["max", "min"]
    # None: everything in float32.
    amp_dtype: torch.dtype | None
    # 0: no clipping.
    max_grad_norm: float
    grad_norm_type: float
    # 0: no averaging.
    ema_decay: float
    # Where metrics go besides `metrics.json`: `project` and `name`; `experiment`, `name`,
    # `tracking_uri`; empty project or experiment: not there.
    tensorboard: bool
    wandb: Mapping[str, str]
    mlflow: Mapping[str, str]
    # The names of the classes, as far as the config states them.
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, cfg: Config) -> "Settings":
        """Read and check a config of either kind.

        Raises:
            UserError: a value that cannot be, with its key.
        """
        check_run(cfg)
        settings = _from_yaml(cfg) if isinstance(cfg, CfgNode) else _from_lazy(cfg)
        settings._check()
        return settings

    @property
    def images_per_update(self) -> int:
        """Images of all processes and batches behind one update of the weights."""
        return self.batch_size * self.accumulate

    @property
    def on_gpu(self) -> bool:
        """Whether the model runs on CUDA."""
        return torch.device(self.device).type == "cuda"

    def _check(self) -> None:
        torch_device(self.device)
        if self.output_dir.endswith(_LOG_FILES):
            raise UserError(
                f"the output folder {self.output_dir} has a name that Detectron2 takes for that of "
                "a log file: give one that does not end in "
                f"{' or '.join(_LOG_FILES)} by {OUTPUT_KEYS}"
            )
        if self.best_mode not in ("max", "min"):
            raise UserError(
                f"train.best_checkpointer.mode (YAML: TEST.BEST_METRIC_MODE) is "
                f"{self.best_mode!r}: it is max or min"
            )
        if self.amp_dtype == torch.float16 and not self.on_gpu:
            raise UserError(
                f"mixed precision in float16 needs a CUDA device, and this run is on {self.device}:"
                " set train.amp.dtype=bfloat16 (YAML: SOLVER.AMP.DTYPE bfloat16), or turn it off"
            )
        if self.patience and not (self.best_metric and self.eval_period > 0):
            missing = (
                "train.best_checkpointer.val_metric (YAML: TEST.BEST_METRIC)"
                if not self.best_metric
                else "train.eval_period (YAML: TEST.EVAL_PERIOD)"
            )
            raise UserError(
                "early stopping compares the metric of the best checkpoint at each evaluation: set "
                f"{missing} too, or train.early_stopping.patience (YAML: "
                "SOLVER.EARLY_STOPPING.PATIENCE) to 0"
            )
        if self.max_grad_norm < 0:
            raise UserError(
                f"the gradient cannot be clipped to a norm of {self.max_grad_norm}: give "
                "train.clip_grad.max_norm (YAML: SOLVER.MAX_GRAD_NORM) a positive one, or 0 for off"
            )


def _amp_dtype(enabled: bool, name: str) -> torch.dtype | None:
    if not enabled:
        return None
    if name not in DTYPES:
        raise UserError(
            f"train.amp.dtype (YAML: SOLVER.AMP.DTYPE) is {name!r}: it is float16 or bfloat16"
        )
    return DTYPES[name]


def _ema_decay(decay: float) -> float:
    if not 0 < decay < 1:
        raise UserError(
            f"the decay of averaged weights is {decay}: train.ema.decay (YAML: SOLVER.EMA.DECAY) "
            "lies above 0 and below 1, e.g. 0.9998"
        )
    return decay


def _from_lazy(cfg: DictConfig) -> Settings:
    """Keys that this project added may be missing: configs of others do not have them."""

    train = cfg.train

    def section(name: str) -> dict[str, Any]:
        found: Any = OmegaConf.to_container(cfg.train.get(name) or OmegaConf.create(), resolve=True)
        return found

    amp, clip, ema, best, early = (
        section(name) for name in ("amp", "clip_grad", "ema", "best_checkpointer", "early_stopping")
    )
    return Settings(
        output_dir=train.output_dir,
        init_checkpoint=train.init_checkpoint or "",
        trust_checkpoint=train.get("trust_checkpoint", False),
        allow_missing_weights=train.get("allow_missing_weights", False),
        allow_other_classes=train.get("allow_other_classes", False),
        device=train.device,
        batch_size=cfg.dataloader.train.total_batch_size,
        max_iter=train.max_iter,
        eval_period=train.eval_period,
        log_period=train.log_period,
        checkpointer=section("checkpointer"),
        ddp=section("ddp"),
        accumulate=train.get("accumulate", 1),
        freeze=tuple(map(str, train.get("freeze") or ())),
        layer_decay=train.get("layer_decay", 1.0),
        recompute=train.get("recompute", False),
        patience=early.get("patience", 0),
        min_delta=early.get("min_delta", 0.0),
        validation_loss=train.get("validation_loss", False),
        best_metric=best.get("val_metric") or "",
        best_mode=best.get("mode", "max"),
        amp_dtype=_amp_dtype(amp.get("enabled", False), amp.get("dtype", "float16")),
        max_grad_norm=clip.get("max_norm", 0.0),
        grad_norm_type=clip.get("norm_type", 2.0),
        ema_decay=_ema_decay(ema["decay"]) if ema.get("enabled", False) else 0.0,
        tensorboard=train.get("tensorboard", True),
        wandb=section("wandb"),
        mlflow=section("mlflow"),
        classes=tuple(map(str, train.get("classes") or ())),
    )


def _from_yaml(cfg: CfgNode) -> Settings:
    solver = cfg.SOLVER
    return Settings(
        output_dir=cfg.OUTPUT_DIR,
        init_checkpoint=cfg.MODEL.WEIGHTS,
        trust_checkpoint=cfg.MODEL.TRUST_WEIGHTS,
        allow_missing_weights=cfg.MODEL.ALLOW_MISSING_WEIGHTS,
        allow_other_classes=cfg.MODEL.ALLOW_OTHER_CLASSES,
        device=cfg.MODEL.DEVICE,
        batch_size=solver.IMS_PER_BATCH,
        max_iter=solver.MAX_ITER,
        eval_period=cfg.TEST.EVAL_PERIOD,
        log_period=20,  # as in Detectron2, which has no key for it
        checkpointer={
            "period": solver.CHECKPOINT_PERIOD,
            "max_to_keep": solver.CHECKPOINTS_TO_KEEP or None,
        },
        ddp={"broadcast_buffers": False},
        accumulate=solver.ACCUMULATE,
        freeze=tuple(map(str, cfg.MODEL.FREEZE)),
        layer_decay=solver.LAYER_DECAY,
        recompute=cfg.MODEL.RECOMPUTE,
        patience=solver.EARLY_STOPPING.PATIENCE,
        min_delta=solver.EARLY_STOPPING.MIN_DELTA,
        validation_loss=cfg.TEST.VALIDATION_LOSS,
        best_metric=cfg.TEST.BEST_METRIC,
        best_mode=cfg.TEST.BEST_METRIC_MODE,
        amp_dtype=_amp_dtype(solver.AMP.ENABLED, solver.AMP.DTYPE),
        max_grad_norm=solver.MAX_GRAD_NORM,
        grad_norm_type=2.0,
        ema_decay=_ema_decay(solver.EMA.DECAY) if solver.EMA.ENABLED else 0.0,
        tensorboard=cfg.TRACKING.TENSORBOARD,
        wandb={"project": cfg.TRACKING.WANDB.PROJECT, "name": cfg.TRACKING.WANDB.NAME},
        mlflow={
            "experiment": cfg.TRACKING.MLFLOW.EXPERIMENT,
            "name": cfg.TRACKING.MLFLOW.NAME,
            "tracking_uri": cfg.TRACKING.MLFLOW.TRACKING_URI,
        },
        classes=tuple(map(str, cfg.MODEL.CLASSES)),
    )
