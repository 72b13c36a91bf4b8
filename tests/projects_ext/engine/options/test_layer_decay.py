"""The learning rates of the backbone's stages."""

import pytest
import torch
from fvcore.common.param_scheduler import ConstantParamScheduler
from torch import nn

from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.solver import LRMultiplier
from detectron2.solver.build import get_default_optimizer_params
from projects_ext.engine.options import decay_by_layer
from projects_ext.errors import UserError


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        stages = ResNet.make_default_stages(18, norm="BN")
        stem = BasicStem(in_channels=3, out_channels=64, norm="BN")
        self.backbone = ResNet(stem, stages, out_features=["res5"])
        self.head = nn.Linear(2, 2)


def rates(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, float]:
    by_id = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters()}


def test_each_stage_has_a_share_of_the_next_one() -> None:
    model = Small()
    optimizer = torch.optim.SGD(get_default_optimizer_params(model, weight_decay_norm=0.0), lr=1.0)
    decays = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    decay_by_layer(optimizer, model, 0.5)
    found = rates(optimizer, model)
    wanted = {"stem": 1 / 32, "res2": 1 / 16, "res3": 1 / 8, "res4": 1 / 4, "res5": 1 / 2}
    for name, rate in found.items():
        stage = name.split(".")[1]
        assert rate == pytest.approx(wanted.get(stage, 1.0)), name
    after = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert after == decays
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found)


def test_the_schedule_multiplies_the_shares() -> None:
    model = Small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    decay_by_layer(optimizer, model, 0.1)
    LRMultiplier(optimizer, ConstantParamScheduler(0.5), max_iter=10)
    found = rates(optimizer, model)
    assert found["head.weight"] == pytest.approx(0.05)
    assert found["backbone.res5.0.conv1.weight"] == pytest.approx(0.005)


def test_a_rate_of_one_changes_nothing_and_other_backbones_are_refused() -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    group = optimizer.param_groups[0]
    decay_by_layer(optimizer, model, 1.0)
    assert optimizer.param_groups[0] is group
    with pytest.raises(UserError, match=r"train\.layer_decay .* is 0\.9, but no trained parameter"):
        decay_by_layer(optimizer, model, 0.9)
