"""One iteration: precision, clipping, metrics."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from detectron2.engine import SimpleTrainer
from detectron2.utils.events import EventStorage
from projects_ext.engine.step import TrainStep


class Quadratic(nn.Module):
    """Losses of a linear layer; remembers in which type that was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.computed_in: torch.dtype | None = None

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        output = self.layer(batch)
        self.computed_in = output.dtype
        return {"loss_a": output.float().square().mean(), "loss_b": 3 * output.float().sum().abs()}


def batches() -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield torch.rand(4, 3, generator=generator)


def make(kind: type[SimpleTrainer] = TrainStep, **options: object) -> SimpleTrainer:
    torch.manual_seed(1)
    model = Quadratic()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return kind(model, batches(), optimizer, **options)


def steps(trainer: SimpleTrainer, count: int = 3) -> list[dict[str, float]]:
    """The latest metrics after each of so many iterations."""
    found = []
    with EventStorage() as storage:
        for trainer.iter in range(count):
            trainer.run_step()
            found.append({name: value for name, (value, _) in storage.latest().items()})
            storage.step()
    return found


def test_float32_is_what_simple_trainer_does() -> None:
    expected, found = steps(make(SimpleTrainer)), steps(make())
    for one, other in zip(expected, found, strict=True):
        assert {name: one[name] for name in ("loss_a", "loss_b", "total_loss")} == {
            name: other[name] for name in ("loss_a", "loss_b", "total_loss")
        }
    assert "grad_norm" not in found[0]


def test_bfloat16_on_the_cpu() -> None:
    trainer = make(amp_dtype=torch.bfloat16)
    exact, rounded = steps(make()), steps(trainer)
    assert trainer.model.computed_in == torch.bfloat16
    assert trainer.model.layer.weight.dtype == torch.float32
    assert rounded[2]["total_loss"] == pytest.approx(exact[2]["total_loss"], rel=0.02)
    assert rounded[2]["total_loss"] != exact[2]["total_loss"]
    assert "grad_scaler" not in trainer.state_dict()


def test_gradient_is_clipped_as_a_whole() -> None:
    trainer = make(max_grad_norm=0.5)
    recorded = steps(trainer, 1)[0]["grad_norm"]
    norm = torch.stack([p.grad.norm() for p in trainer.model.parameters()]).norm().item()
    assert recorded > 1
    assert norm == pytest.approx(0.5, rel=1e-4)
    largest = make(max_grad_norm=0.5, grad_norm_type=float("inf"))
    steps(largest, 1)
    assert max(p.grad.abs().max().item() for p in largest.model.parameters()) == pytest.approx(0.5)


def test_small_gradient_stays() -> None:
    clipped, plain = make(max_grad_norm=1e6), make()
    assert steps(clipped)[2]["total_loss"] == steps(plain)[2]["total_loss"]


def test_state_goes_on_and_comes_from_other_precisions() -> None:
    whole = steps(make(), 4)[3]["total_loss"]
    first = make()
    steps(first, 2)
    second = make()
    second.model.load_state_dict(first.model.state_dict())
    state = {**first.state_dict(), "grad_scaler": {"scale": 2.0}}
    second.load_state_dict(state)
    for _ in range(2):
        next(second._data_loader_iter)
    assert steps(second, 2)[1]["total_loss"] == whole


def test_model_in_evaluation_mode_is_refused() -> None:
    trainer = make()
    trainer.model.eval()
    with pytest.raises(RuntimeError, match=r"call model\.train\(\)"):
        steps(trainer, 1)


def test_accumulated_batches_are_one_large_batch() -> None:
    class Mean(Quadratic):
        def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss_a": self.layer(batch).square().mean()}

    def pairs() -> Iterator[torch.Tensor]:
        small = batches()
        while True:
            yield torch.cat([next(small), next(small)])

    torch.manual_seed(1)
    large = Mean()
    torch.manual_seed(1)
    small = Mean()
    trainers = []
    for model, data, accumulate in ((large, pairs(), 1), (small, batches(), 2)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        trainers.append(TrainStep(model, data, optimizer, accumulate=accumulate, max_grad_norm=0.3))
    expected, found = (steps(trainer, 4) for trainer in trainers)
    for one, other in zip(expected, found, strict=True):
        assert other["total_loss"] == pytest.approx(one["total_loss"], rel=1e-5)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5)
    assert torch.allclose(large.layer.weight, small.layer.weight, rtol=1e-5)
