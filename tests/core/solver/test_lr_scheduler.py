"""The schedulers by themselves."""

import math

import pytest
import torch
from fvcore.common.param_scheduler import CosineParamScheduler, MultiStepParamScheduler
from torch import nn

from detectron2.solver import LRMultiplier, WarmupCosineLR, WarmupMultiStepLR, WarmupParamScheduler


def make_optimizer():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.5)]
    return torch.optim.SGD(groups, lr=9.0)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def run(optimizer, scheduler, iterations):
    found = []
    for _ in range(iterations):
        found.append(rates(optimizer))
        optimizer.step()
        scheduler.step()
    return found


def test_multiplier_scales_every_groups_own_rate():
    optimizer = make_optimizer()
    steps = MultiStepParamScheduler([1.0, 0.1], milestones=[2], num_updates=4)
    found = run(optimizer, LRMultiplier(optimizer, steps, max_iter=4), 4)
    assert found == [[1.0, 0.5], [1.0, 0.5], [0.1, 0.05], [0.1, 0.05]]


def test_multiplier_goes_on_after_a_resume_and_keeps_numbers_alone():
    whole_optimizer = make_optimizer()
    whole = run(whole_optimizer, LRMultiplier(whole_optimizer, CosineParamScheduler(1, 0), 10), 10)
    optimizer = make_optimizer()
    scheduler = LRMultiplier(optimizer, CosineParamScheduler(1, 0), 10)
    run(optimizer, scheduler, 4)
    state, optimizer_state = scheduler.state_dict(), optimizer.state_dict()
    assert state == {"base_lrs": [1.0, 0.5], "last_epoch": 4}

    optimizer = make_optimizer()
    scheduler = LRMultiplier(optimizer, CosineParamScheduler(1, 0), 10)
    optimizer.load_state_dict(optimizer_state)
    scheduler.load_state_dict(state)
    assert run(optimizer, scheduler, 6) == whole[4:]


def test_multiplier_can_be_made_in_the_middle():
    optimizer = make_optimizer()
    run(optimizer, LRMultiplier(optimizer, CosineParamScheduler(1, 0), 10), 3)
    scheduler = LRMultiplier(optimizer, CosineParamScheduler(1, 0), 10, last_iter=2)
    assert scheduler.last_epoch == 3
    assert rates(optimizer)[0] == pytest.approx(0.5 * (1 + math.cos(0.3 * math.pi)))


def test_multiplier_refuses_what_is_no_param_scheduler():
    with pytest.raises(ValueError, match="ParamScheduler"):
        LRMultiplier(make_optimizer(), lambda where: 1.0, max_iter=4)


def test_warmup_climbs_to_where_the_schedule_takes_over():
    scheduler = WarmupParamScheduler(CosineParamScheduler(1, 0), 0.1, warmup_length=0.5)
    assert scheduler(0.0) == pytest.approx(0.1)
    assert scheduler(0.25) == pytest.approx((0.1 + 0.5) / 2)
    assert scheduler(0.5) == pytest.approx(0.5)
    assert scheduler(0.75) == CosineParamScheduler(1, 0)(0.75)


def test_unknown_warmups_are_refused():
    with pytest.raises(ValueError, match="cubic"):
        WarmupParamScheduler(CosineParamScheduler(1, 0), 0.1, 0.5, "cubic")
    with pytest.raises(ValueError, match="cubic"):
        WarmupCosineLR(make_optimizer(), 10, warmup_method="cubic")


def test_older_multi_step_schedule():
    optimizer = make_optimizer()
    scheduler = WarmupMultiStepLR(optimizer, [4, 6], gamma=0.5, warmup_factor=0.2, warmup_iters=2)
    first = [first for first, _ in run(optimizer, scheduler, 8)]
    assert first == pytest.approx([0.2, 0.6, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25])
    with pytest.raises(ValueError, match="increasing"):
        WarmupMultiStepLR(make_optimizer(), [6, 4])


def test_older_cosine_schedule_with_constant_warmup():
    optimizer = make_optimizer()
    scheduler = WarmupCosineLR(
        optimizer, 8, warmup_factor=0.25, warmup_iters=2, warmup_method="constant"
    )
    second = [second for _, second in run(optimizer, scheduler, 8)]
    cosine = [0.25 * (1 + math.cos(math.pi * index / 8)) for index in range(8)]
    assert second == pytest.approx([cosine[0] / 4, cosine[1] / 4, *cosine[2:]])
