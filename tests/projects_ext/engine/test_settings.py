"""What a run reads from a config, of either kind."""

from pathlib import Path
from typing import Any

import pytest
import torch

from projects_ext.engine import load_config
from projects_ext.engine.settings import Settings

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart"
KINDS = ("TRAIN_JSON", "TRAIN_IMAGES", "VAL_JSON", "VAL_IMAGES")
NO_PATHS = [f"DATASETS.COCO_FORMAT.{kind}=" for kind in KINDS]


def lazy(*overrides: str) -> Settings:
    return Settings.of(
        load_config(str(QUICKSTART / "mask_rcnn_shapes.py"), ["train.device=cpu", *overrides])
    )


def yaml(*overrides: str) -> Settings:
    changes = [*NO_PATHS, "MODEL.DEVICE=cpu", *overrides]
    return Settings.of(load_config(str(QUICKSTART / "mask_rcnn_shapes.yaml"), changes))


@pytest.mark.parametrize(
    ("field", "value", "by_lazy", "by_yaml"),
    [
        ("max_iter", 7, "train.max_iter=7", "SOLVER.MAX_ITER=7"),
        ("batch_size", 7, "dataloader.train.total_batch_size=7", "SOLVER.IMS_PER_BATCH=7"),
        ("init_checkpoint", "a.pth", "train.init_checkpoint=a.pth", "MODEL.WEIGHTS=a.pth"),
        ("trust_checkpoint", True, "train.trust_checkpoint=True", "MODEL.TRUST_WEIGHTS=True"),
        ("allow_other_classes", True, "train.allow_other_classes=True",
         "MODEL.ALLOW_OTHER_CLASSES=True"),
        ("output_dir", "there", "train.output_dir=there", "OUTPUT_DIR=there"),
        ("eval_period", 7, "train.eval_period=7", "TEST.EVAL_PERIOD=7"),
        ("best_metric", "a/b", "train.best_checkpointer.val_metric=a/b", "TEST.BEST_METRIC=a/b"),
        ("max_grad_norm", 2.5, "train.clip_grad.max_norm=2.5", "SOLVER.MAX_GRAD_NORM=2.5"),
        ("ema_decay", 0.9998, "train.ema.enabled=True", "SOLVER.EMA.ENABLED=True"),
    ],
)  # fmt: skip
def test_each_key_has_its_twin(field: str, value: Any, by_lazy: str, by_yaml: str) -> None:
    assert getattr(lazy(by_lazy), field) == getattr(yaml(by_yaml), field) == value


def test_checkpoints() -> None:
    expected = {"period": 3, "max_to_keep": 2}
    assert lazy("train.checkpointer.period=3").checkpointer == expected
    assert yaml("SOLVER.CHECKPOINT_PERIOD=3").checkpointer == expected


def test_everything_is_off_by_default() -> None:
    for settings in (lazy(), yaml("SOLVER.MAX_GRAD_NORM=0.0")):
        assert settings.amp_dtype is None
        assert settings.max_grad_norm == settings.ema_decay == 0


def test_precision() -> None:
    keys = ["train.amp.enabled=True", "train.amp.dtype=bfloat16"]
    assert lazy(*keys).amp_dtype == torch.bfloat16
    assert yaml("SOLVER.AMP.ENABLED=True", "SOLVER.AMP.DTYPE=bfloat16").amp_dtype == torch.bfloat16
    on_gpu = lazy("train.amp.enabled=True", "train.device=cuda")
    assert on_gpu.on_gpu
    assert on_gpu.amp_dtype == torch.float16


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("train.amp.enabled=True", r"float16 needs a CUDA device, .* train\.amp\.dtype=bfloat16"),
        ("train.amp={enabled: true, dtype: half}", r"train\.amp\.dtype .* is 'half': it is"),
        ("train.clip_grad.max_norm=-1", r"to a norm of -1: give train\.clip_grad\.max_norm"),
        ("train.ema={enabled: true, decay: 1.5}", r"decay of averaged weights is 1\.5: train\.ema"),
    ],
)
def test_values_that_cannot_be(key: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        lazy(key)


def test_a_config_without_this_projects_keys_will_do() -> None:
    cfg = load_config(str(QUICKSTART / "mask_rcnn_shapes.py"), [])
    allowed = ("trust_checkpoint", "allow_missing_weights", "allow_other_classes")
    for key in ("clip_grad", "ema", "reference_batch_size", *allowed):
        del cfg.train[key]
    del cfg.train.amp["dtype"]
    assert Settings.of(cfg).ema_decay == 0
