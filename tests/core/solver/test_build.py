"""Parameter groups, gradient clipping and the optimizer and schedule of a configuration."""

import pytest
import torch
from torch import nn

from detectron2.config import get_cfg
from detectron2.solver import (
    LRMultiplier,
    build_lr_scheduler,
    build_optimizer,
    get_default_optimizer_params,
)
from detectron2.solver.build import maybe_add_gradient_clipping, reduce_param_groups


class Network(nn.Module):
    """Every kind of parameter that is treated in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.group_norm = nn.GroupNorm(2, 4)
        self.head = nn.Linear(4, 2)
        self.tied = nn.Linear(4, 2)
        self.tied.weight = self.head.weight
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


@pytest.fixture
def network():
    return Network()


def named_groups(network, groups):
    """The groups with names in place of parameters."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [
        {**group, "params": [names[id(parameter)] for parameter in group["params"]]}
        for group in groups
    ]


WEIGHTS = ["conv.weight", "norm.weight", "group_norm.weight", "head.weight"]
BIASES = ["conv.bias", "norm.bias", "group_norm.bias", "head.bias", "tied.bias"]


def test_without_settings_all_trainable_parameters_are_one_group_without_any(network):
    (group,) = named_groups(network, get_default_optimizer_params(network))
    assert set(group) == {"params"}
    assert sorted(group["params"]) == sorted(WEIGHTS + BIASES)


def test_a_module_used_twice_is_optimised_once(network):
    (group,) = get_default_optimizer_params(nn.Sequential(network, network), base_lr=1.0)
    assert len(group["params"]) == len(WEIGHTS + BIASES)


def test_normalization_layers_have_their_own_weight_decay(network):
    groups = get_default_optimizer_params(
        network, base_lr=0.1, weight_decay=0.01, weight_decay_norm=0.0
    )
    assert named_groups(network, groups) == [
        {
            "lr": 0.1,
            "weight_decay": 0.01,
            "params": ["conv.weight", "conv.bias", "head.weight", "head.bias", "tied.bias"],
        },
        {
            "lr": 0.1,
            "weight_decay": 0.0,
            "params": ["norm.weight", "norm.bias", "group_norm.weight", "group_norm.bias"],
        },
    ]


def test_biases_have_their_own_rate_and_decay_even_in_normalization_layers(network):
    groups = get_default_optimizer_params(
        network,
        base_lr=0.1,
        weight_decay=0.01,
        weight_decay_norm=0.3,
        bias_lr_factor=2.0,
        weight_decay_bias=0.0,
    )
    found = {tuple(group.pop("params")): group for group in named_groups(network, groups)}
    assert found == {
        ("conv.weight", "head.weight"): {"lr": 0.1, "weight_decay": 0.01},
        ("norm.weight", "group_norm.weight"): {"lr": 0.1, "weight_decay": 0.3},
        tuple(BIASES): {"lr": 0.2, "weight_decay": 0.0},
    }


def test_factors_by_name_scale_the_rate_and_overrides_replace_it(network):
    groups = get_default_optimizer_params(
        network,
        base_lr=0.1,
        lr_factor_func=lambda name: 0.5 if name.startswith("head") else 1.0,
        overrides={"bias": {"lr": 7.0, "momentum": 0.5}},
    )
    found = {tuple(group.pop("params")): group for group in named_groups(network, groups)}
    assert found == {
        ("conv.weight", "norm.weight", "group_norm.weight"): {"lr": 0.1},
        ("head.weight",): {"lr": 0.05},
        tuple(BIASES): {"lr": 7.0, "momentum": 0.5},
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bias_lr_factor": 2.0}, "requires base_lr"),
        ({"lr_factor_func": len}, "requires base_lr"),
        (
            {"base_lr": 1.0, "bias_lr_factor": 2.0, "overrides": {"bias": {"lr": 1.0}}},
            "Conflicting",
        ),
    ],
)
def test_contradicting_settings_are_refused(network, settings, message):
    with pytest.raises(ValueError, match=message):
        get_default_optimizer_params(network, **settings)


def test_groups_of_equal_settings_are_merged_in_the_order_of_their_appearance():
    one, two, three = (torch.zeros(1) for _ in range(3))
    merged = reduce_param_groups(
        [
            {"params": [one], "lr": 1.0},
            {"params": [two], "lr": 2.0},
            {"params": [three], "lr": 1.0},
            {"params": [two], "weight_decay": 3.0},
        ]
    )
    assert [(len(group["params"]), group["lr"]) for group in merged] == [(2, 1.0), (1, 2.0)]
    assert merged[0]["params"][1] is three
    assert merged[1]["weight_decay"] == 3.0


def test_the_optimizer_follows_the_configuration(network):
    cfg = get_cfg()
    cfg.SOLVER.BASE_LR, cfg.SOLVER.MOMENTUM, cfg.SOLVER.NESTEROV = 0.25, 0.8, True
    cfg.SOLVER.WEIGHT_DECAY, cfg.SOLVER.WEIGHT_DECAY_NORM = 0.003, 0.0
    optimizer = build_optimizer(cfg, network)
    assert type(optimizer) is torch.optim.SGD
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.003, 0.0]
    for group in optimizer.param_groups:
        assert (group["lr"], group["momentum"], group["nesterov"]) == (0.25, 0.8, True)


def clipped(clip_type, gradient, **settings):
    """A parameter's change by one step at learning rate 1, negated: its clipped gradient."""
    cfg = get_cfg()
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = clip_type
    for name, value in settings.items():
        cfg.SOLVER.CLIP_GRADIENTS[name] = value
    parameter = nn.Parameter(torch.zeros(len(gradient)))
    optimizer = maybe_add_gradient_clipping(cfg, torch.optim.SGD)([parameter], lr=1.0)
    assert isinstance(optimizer, torch.optim.SGD)
    parameter.grad = torch.tensor(gradient)
    optimizer.step()
    return -parameter.detach()


def test_clipping_by_value_limits_each_element():
    result = clipped("value", [-3.0, 0.5, 4.0], CLIP_VALUE=1.0)
    assert result.tolist() == [-1.0, 0.5, 1.0]


def test_clipping_by_norm_keeps_the_direction_of_each_parameters_gradient():
    result = clipped("norm", [3.0, 4.0], CLIP_VALUE=1.0)
    torch.testing.assert_close(result, torch.tensor([0.6, 0.8]))
    result = clipped("norm", [3.0, 4.0], CLIP_VALUE=3.5, NORM_TYPE=1.0)
    torch.testing.assert_close(result, torch.tensor([1.5, 2.0]))


def test_clipping_can_be_added_to_an_optimizer_that_exists():
    cfg = get_cfg()
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    assert maybe_add_gradient_clipping(cfg, torch.optim.SGD) is torch.optim.SGD
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    maybe_add_gradient_clipping(cfg, optimizer)
    parameter.grad = torch.tensor([9.0])
    optimizer.step()
    assert parameter.item() == -1.0


@pytest.mark.core_only(reason="torch refuses to clip a missing gradient by value")
def test_parameters_without_a_gradient_are_not_clipped():
    cfg = get_cfg()
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    parameter = nn.Parameter(torch.zeros(1))
    maybe_add_gradient_clipping(cfg, torch.optim.SGD)([parameter], lr=1.0).step()
    assert parameter.item() == 0.0


def test_an_unknown_clipping_is_refused():
    with pytest.raises(ValueError, match="full_model"):
        clipped("full_model", [1.0])


def schedule(max_iter=20, **settings):
    """The learning rates of ``max_iter`` iterations, with base rate 1."""
    cfg = get_cfg()
    cfg.SOLVER.MAX_ITER = max_iter
    cfg.SOLVER.BASE_LR = 1.0
    for name, value in settings.items():
        cfg.SOLVER[name] = value
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = build_lr_scheduler(cfg, optimizer)
    assert isinstance(scheduler, LRMultiplier)
    rates = []
    for _ in range(max_iter):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_steps_multiply_the_rate_and_the_warmup_climbs_to_it():
    rates = schedule(STEPS=(8, 14), GAMMA=0.1, WARMUP_ITERS=4, WARMUP_FACTOR=0.2)
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4:] == pytest.approx([1.0] * 4 + [0.1] * 6 + [0.01] * 6)


def test_the_cosine_ends_near_the_last_rate():
    rates = schedule(LR_SCHEDULER_NAME="WarmupCosineLR", WARMUP_ITERS=0, BASE_LR_END=0.5)
    cosine = torch.cos(torch.arange(20, dtype=torch.float64) * torch.pi / 20)
    assert rates == pytest.approx((0.5 + 0.25 * (1 + cosine)).tolist())


@pytest.mark.core_only(reason="upstream's last step of this schedule raises IndexError")
def test_evenly_spaced_decays():
    rates = schedule(
        LR_SCHEDULER_NAME="WarmupStepWithFixedGammaLR", WARMUP_ITERS=0, NUM_DECAYS=3, GAMMA=0.5
    )
    assert rates == [1.0] * 5 + [0.5] * 5 + [0.25] * 5 + [0.125] * 5


def test_a_rescaled_schedule_starts_after_the_warmup():
    rates = schedule(
        LR_SCHEDULER_NAME="WarmupCosineLR",
        WARMUP_ITERS=10,
        WARMUP_METHOD="constant",
        WARMUP_FACTOR=0.5,
        RESCALE_INTERVAL=True,
    )
    assert rates[:10] == [0.5] * 10
    cosine = torch.cos(torch.arange(10, dtype=torch.float64) * torch.pi / 10)
    assert rates[10:] == pytest.approx((0.5 * (1 + cosine)).tolist())


def test_steps_after_the_end_are_ignored():
    assert schedule(STEPS=(8, 30), WARMUP_ITERS=0) == pytest.approx([1.0] * 8 + [0.1] * 12)


@pytest.mark.core_only(reason="upstream refuses a step at the very end")
def test_a_step_at_the_end_is_ignored():
    assert schedule(STEPS=(8, 20), WARMUP_ITERS=0) == pytest.approx([1.0] * 8 + [0.1] * 12)


@pytest.mark.core_only(reason="upstream divides by zero")
def test_a_warmup_as_long_as_the_training_can_be_combined_with_rescaling():
    rates = schedule(WARMUP_ITERS=40, WARMUP_FACTOR=0.0, RESCALE_INTERVAL=True, STEPS=())
    assert rates == pytest.approx([index / 20 for index in range(20)])


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="Nonsense"):
        schedule(LR_SCHEDULER_NAME="Nonsense")
