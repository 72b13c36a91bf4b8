"""After a resume the config's learning rate and other options hold, not those of the checkpoint."""

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from fvcore.common.param_scheduler import LinearParamScheduler
from torch import nn

from detectron2.solver import LRMultiplier
from projects_ext.engine.resumed_optimizer import apply_group_options, group_options
from projects_ext.errors import UserError
from tests.projects_ext.faults.runs import short_run, trainer_with_losses

WEIGHT = torch.arange(6.0).view(2, 3)


def optimizer(kind: Any = torch.optim.SGD, **options: Any) -> tuple[Any, LRMultiplier]:
    """Of two groups, the second with half the rate, and its schedule."""
    first, second = nn.Parameter(WEIGHT.clone()), nn.Parameter(WEIGHT.clone())
    rate = options.get("lr", 0.1)
    made = kind([{"params": [first]}, {"params": [second], "lr": rate / 2}], **options)
    return made, LRMultiplier(made, LinearParamScheduler(1.0, 0.0), max_iter=10)


def step(made: tuple[Any, LRMultiplier]) -> list[float]:
    """Train one iteration; the learning rates of the next."""
    for group in made[0].param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    made[0].step()
    made[1].step()
    return [group["lr"] for group in made[0].param_groups]


def resumed(saved: tuple[Any, LRMultiplier], now: tuple[Any, LRMultiplier]) -> None:
    wanted = group_options(now[0])
    for new, old in zip(now, saved, strict=True):
        new.load_state_dict(copy.deepcopy(old.state_dict()))
    apply_group_options(*now, wanted)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    caplog.set_level(logging.INFO, "detectron2.projects_ext")
    return caplog


def test_new_options_hold_from_the_next_iteration_on(logged: pytest.LogCaptureFixture) -> None:
    run = optimizer(lr=0.1, momentum=0.9, weight_decay=0.01)
    step(run)
    step(run)
    again = optimizer(lr=0.02, momentum=0.9, weight_decay=0.5)
    resumed(run, again)
    groups = again[0].param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.02 * 0.8, 0.01 * 0.8])
    assert [group["weight_decay"] for group in groups] == [0.5, 0.5]
    assert again[1].base_lrs == pytest.approx([0.02, 0.01])
    assert step(again) == pytest.approx([0.02 * 0.7, 0.01 * 0.7])
    # The momentum is the checkpoint's.
    buffers = [again[0].state[group["params"][0]]["momentum_buffer"] for group in groups]
    assert all(bool(buffer.abs().min() > 1.5) for buffer in buffers)
    assert list(dict.fromkeys(logged.messages)) == [
        "--resume: options of the config replace the checkpoint's: weight_decay 0.01 -> 0.5, "
        "lr 0.1 -> 0.02, lr 0.05 -> 0.01"
    ]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_the_same_options_are_not_touched(kind: Any, logged: pytest.LogCaptureFixture) -> None:
    run, again = optimizer(kind, lr=0.1), optimizer(kind, lr=0.1)
    step(run)
    resumed(run, again)
    assert again[0].state_dict()["param_groups"] == run[0].state_dict()["param_groups"]
    assert step(again) == step(run)
    assert not logged.messages


def test_another_kind_of_optimizer_is_refused() -> None:
    run, again = optimizer(lr=0.1), optimizer(torch.optim.AdamW, lr=0.1)
    step(run)
    with pytest.raises(UserError, match=r"optimizer has no .*betas, eps.* as AdamW needs"):
        resumed(run, again)


def test_a_resumed_run_has_the_learning_rate_of_its_config(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    command = short_run(shapes_overrides, tmp_path, "optimizer.lr=0.003")
    trainer, _ = trainer_with_losses(command)
    trainer.checkpointer.save("model_0000000", iteration=0)
    trainer, _ = trainer_with_losses([*command, "optimizer.lr=0.0001", "optimizer.weight_decay=.5"])
    trainer.resume_or_load(resume=True)
    groups = trainer._trainer.optimizer.param_groups
    assert {group["initial_lr"] for group in groups} == set(trainer.scheduler.base_lrs) == {0.0001}
    assert max(group["weight_decay"] for group in groups) == 0.5
