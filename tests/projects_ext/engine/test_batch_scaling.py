"""The linear scaling rule, on both routes."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from detectron2.config import instantiate
from detectron2.solver import LRMultiplier
from projects_ext.engine import load_config
from projects_ext.engine.batch_scaling import scale_to_batch

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart"


def lazy(*overrides: str) -> Any:
    return load_config(str(QUICKSTART / "mask_rcnn_r50_fpn_coco.py"), list(overrides))


def yaml(tmp_path: Path, *overrides: str) -> Any:
    path = tmp_path / "x.yaml"
    path.write_text("SOLVER: {STEPS: [60000, 80000], MAX_ITER: 90000, BASE_LR: 0.02}\n")
    return load_config(str(path), ["SOLVER.IMS_PER_BATCH", "4", "TEST.EVAL_PERIOD=50", *overrides])


def test_off_by_default(tmp_path: Path) -> None:
    for cfg in (lazy("dataloader.train.total_batch_size=4"), yaml(tmp_path)):
        assert scale_to_batch(cfg) is cfg


def test_lazy_config_for_a_quarter_of_the_batch(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    changes = ["dataloader.train.total_batch_size=4", "train.reference_batch_size=16"]
    before = lazy(*changes, "train.eval_period=0")
    with caplog.at_level(logging.INFO, "detectron2.projects_ext"):
        scaled = scale_to_batch(before)
    assert before.train.max_iter == 90000
    assert scaled.optimizer.lr == pytest.approx(0.005)
    assert scaled.train.max_iter == 360000
    assert scaled.train.checkpointer.period == 20000
    assert scaled.train.eval_period == 0
    # Saved and loaded again, it is what it is.
    assert scaled.train.reference_batch_size == 4
    assert scale_to_batch(scaled) is scaled
    assert "Scaled from batch 16 to 4: learning rate 0.005, 360000 iter" in caplog.text


def test_schedule_of_a_lazy_config_follows_the_iterations() -> None:
    cfg = lazy("dataloader.train.total_batch_size=32", "train.reference_batch_size=16")
    cfg = scale_to_batch(cfg)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optimizer.lr)
    schedule = LRMultiplier(optimizer, instantiate(cfg.lr_multiplier), cfg.train.max_iter)
    rates = {}
    for iteration in range(31000):
        rates[iteration] = optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
    # The 16-image recipe warms up for 1000 iterations and has its first step at 60000.
    assert rates[499] < rates[500] == pytest.approx(0.04)
    assert rates[29999] == pytest.approx(0.04)
    assert rates[30000] == pytest.approx(0.004)


def test_yaml_for_a_quarter_of_the_batch(tmp_path: Path) -> None:
    cfg = scale_to_batch(yaml(tmp_path, "SOLVER.REFERENCE_BATCH_SIZE", "16"))
    solver = cfg.SOLVER
    assert pytest.approx(0.005) == solver.BASE_LR
    assert (solver.MAX_ITER, solver.STEPS) == (360000, (240000, 320000))
    assert (solver.WARMUP_ITERS, solver.CHECKPOINT_PERIOD) == (4000, 20000)
    assert cfg.TEST.EVAL_PERIOD == 200
    assert cfg.is_frozen()
    assert scale_to_batch(cfg) is cfg


def test_a_rate_that_is_not_there_cannot_be_scaled() -> None:
    cfg = lazy("train.reference_batch_size=8")
    del cfg.optimizer["lr"]
    with pytest.raises(ValueError, match=r"scales optimizer\.lr, which this config does not have"):
        scale_to_batch(cfg)


def test_negative_reference() -> None:
    with pytest.raises(ValueError, match=r"the reference batch size is -1: give"):
        scale_to_batch(lazy("train.reference_batch_size=-1"))
