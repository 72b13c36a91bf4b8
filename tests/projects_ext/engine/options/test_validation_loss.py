"""Losses on the validation data leave the model and the random numbers as they were."""

from typing import Any

import pytest
import torch
from torch import nn

from projects_ext.engine.options import validation_losses


class Noisy(nn.Module):
    """Losses that depend on dropout, on the batch's statistics and on random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm1d(1), nn.Dropout(0.5)

    def forward(self, batch: list[float]) -> dict[str, torch.Tensor]:
        assert self.training
        values = self.dropout(self.norm(torch.tensor(batch)[:, None]))
        return {"loss_a": values.mean(), "loss_b": torch.rand(()) + 1}


def test_mean_over_the_images_with_fixed_random_numbers() -> None:
    model = Noisy().eval()
    loader: list[list[float]] = [[1.0, 3.0, 5.0], [7.0]]
    states, state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    found = validation_losses(model, loader)
    assert found["loss_a"] == pytest.approx(4.0, rel=1e-4)  # no dropout, running statistics
    assert found["total_loss"] == pytest.approx(found["loss_a"] + found["loss_b"])
    assert validation_losses(model, loader) == found
    assert torch.equal(torch.get_rng_state(), states)
    assert not model.training
    assert not any(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_a_single_loss_and_an_empty_loader() -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(2.0))

        def forward(self, batch: list[Any]) -> torch.Tensor:
            return self.weight * len(batch)

    assert validation_losses(One(), [[0], [0, 0]]) == {"total_loss": pytest.approx(10 / 3)}
    assert validation_losses(One(), []) == {"total_loss": 0}
