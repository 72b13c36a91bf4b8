"""A loss that is infinite or NaN ends the run, named, and costs no good checkpoint."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from detectron2.engine import SimpleTrainer
from detectron2.utils.events import EventStorage
from projects_ext.engine import Trainer
from projects_ext.engine.finite import FiniteLosses
from projects_ext.errors import NonFiniteError
from tests.projects_ext.faults.runs import end_of, same_bits, short_run, weights_in


def break_loss(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From iteration ``at`` on, the mask loss is NaN, and with it the gradients."""
    build, calls = Trainer.create_model.__func__, [0]  # type: ignore[attr-defined]

    def spoil(model: nn.Module, inputs: Any, losses: Any) -> Any:
        if model.training:
            calls[0] += 1
            if calls[0] > at:
                losses["loss_mask"] = losses["loss_mask"] * float("nan")
        return losses

    def create_model(cls: type[Trainer], cfg: Any) -> nn.Module:
        model = build(cls, cfg)
        model.register_forward_hook(spoil)
        return model

    monkeypatch.setattr(Trainer, "create_model", classmethod(create_model))


@pytest.mark.parametrize("at", [2, 3], ids=["in-between", "in-the-last-iteration"])
def test_nan_loss_is_named_and_saves_nothing(
    at: int, shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_loss(at, monkeypatch)
    # Evaluation and best checkpoint would come at the end of the last iteration.
    keys = ["train.checkpointer.period=1", "train.eval_period=4"]
    code, stderr = end_of(short_run(shapes_overrides, tmp_path, *keys), monkeypatch)
    assert code == 1
    said = stderr.strip().splitlines()[-1]
    assert said.startswith(f"error: loss_mask is nan in iteration {at}, with the images /")
    assert said.count(".png") == 2
    assert "lower the learning rate (optimizer.lr; YAML: SOLVER.BASE_LR)" in said
    assert "Traceback" not in stderr
    names = sorted(path.name for path in tmp_path.glob("*.pth"))
    assert names == [f"model_{iteration:07d}.pth" for iteration in (at - 2, at - 1)]
    assert (tmp_path / "last_checkpoint").read_text() == names[-1]
    last = weights_in(tmp_path / names[-1])
    assert all(value.isfinite().all() for value in last.values())
    monkeypatch.undo()
    resumed = short_run(shapes_overrides, tmp_path, "train.max_iter=4")
    assert end_of([*resumed, "--resume"], monkeypatch)[0] == 0
    assert not same_bits(last, weights_in(tmp_path / "model_final.pth"))


def test_too_high_a_learning_rate_is_the_first_remedy(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["train.checkpointer.period=1", "optimizer.lr=1e37", "lr_multiplier.warmup_length=0.0"]
    code, stderr = end_of(short_run(shapes_overrides, tmp_path, *keys), monkeypatch)
    said = stderr.strip().splitlines()[-1]
    assert code == 1
    assert said.startswith("error: ")
    assert " in iteration 1, with the images /" in said or "is not finite" in said
    assert "lower the learning rate" in said
    assert "Traceback" not in stderr


class Scalar(nn.Module):
    """Gives the losses it was made with."""

    def __init__(self, **losses: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.losses = losses

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        return {name: self.weight * value for name, value in self.losses.items()}


class Loader(list[Any]):
    files = ("one.jpg", "two.jpg")


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"loss_a": 1.0, "loss_b": float("inf")}, r"^loss_b is inf in iteration 5, with the im"),
        ({"loss_a": float("nan"), "loss_b": float("-inf")}, r"^loss_a is nan and loss_b is -inf"),
        ({"loss_a": 3e38, "loss_b": 3e38}, "total_loss is inf"),
    ],
)
def test_each_term_is_named_before_the_weights_change(
    losses: dict[str, float], message: str
) -> None:
    model = Scalar(**losses)
    trainer = SimpleTrainer(model, Loader([0]), torch.optim.SGD(model.parameters(), lr=1.0))
    finite = FiniteLosses(model, trainer.data_loader)
    trainer.register_hooks([finite])
    trainer.iter = 5
    with EventStorage(5), pytest.raises(NonFiniteError, match=message), finite.named():
        trainer.run_step()
    assert float(model.weight) == 1.0


def test_what_detectron2_notices_itself_is_named_as_well() -> None:
    model = Scalar(loss=1.0)
    trainer = SimpleTrainer(model, Loader([0]), torch.optim.SGD(model.parameters(), lr=1.0))
    finite = FiniteLosses(model, trainer.data_loader)
    trainer.register_hooks([finite])
    trainer.iter = 8
    message = r"\"Predicted boxes contain NaN\".* in iteration 8, with the images one.jpg, two.jpg"
    with pytest.raises(NonFiniteError, match=message), finite.named():
        raise FloatingPointError("Predicted boxes contain NaN!\nmore")
