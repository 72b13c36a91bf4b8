"""Frozen parameters and normalization layers stay as they are."""

import pytest
import torch
from torch import nn

from projects_ext.engine.options import KeepNormsFrozen, freeze
from projects_ext.errors import UserError


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))


def frozen_names(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if not p.requires_grad]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("backbone", ["backbone.0.weight", "backbone.0.bias", "backbone.1.weight"]),
        ("backbone.0", ["backbone.0.weight", "backbone.0.bias"]),
        ("*.bias", ["backbone.0.bias", "backbone.1.bias", "head.0.bias", "head.1.bias"]),
        ("back*.1.weight", ["backbone.1.weight"]),
    ],
)
def test_patterns_are_names_of_modules_or_parameters(pattern: str, names: list[str]) -> None:
    model = Small()
    freeze(model, [pattern])
    assert set(names) <= set(frozen_names(model))
    assert all(name.startswith("backbone") or "bias" in name for name in frozen_names(model))


def test_frozen_norms_keep_their_statistics_after_an_evaluation() -> None:
    model = Small()
    hook = KeepNormsFrozen(freeze(model, ["backbone"]))
    model.eval()
    model.train()  # as an evaluation leaves it
    hook.before_step()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    changed = {name for name, value in model.state_dict().items() if (value != before[name]).any()}
    assert changed == {"head.1.running_mean", "head.1.running_var", "head.1.num_batches_tracked"}
    assert model.backbone[0].weight.grad is None
    assert model.head[0].weight.grad is not None


def test_a_pattern_without_a_match_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"train\.freeze .* has backbon, .* did you mean backbone"):
        freeze(Small(), ["backbon"])
    with pytest.raises(UserError, match="freezes the whole model"):
        freeze(Small(), ["backbone", "head"])


def test_no_pattern_freezes_nothing() -> None:
    model = Small()
    assert freeze(model, []) == []
    assert frozen_names(model) == []
