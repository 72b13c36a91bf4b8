"""SyncBN where nothing is to be synchronised."""

import logging

import pytest
import torch
from torch import nn

from detectron2.layers import NaiveSyncBatchNorm, get_norm
from projects_ext.engine.parallel import plain_norms_where_alone, wrap_for_processes


def model_with(*norms: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), *norms, nn.Sequential(nn.BatchNorm2d(4)))


def test_sync_bn_becomes_bn_with_the_same_tensors(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    torch.manual_seed(0)
    naive = NaiveSyncBatchNorm(4, stats_mode="N", momentum=0.3)
    model = model_with(get_norm("SyncBN", 4), naive).eval()
    nn.init.uniform_(naive.running_mean)
    nn.init.uniform_(naive.weight)
    naive.weight.requires_grad_(False)
    before = dict(model.state_dict(keep_vars=True))
    image = torch.rand(2, 3, 5, 5)
    expected = model(image)
    with caplog.at_level(logging.INFO, "detectron2.projects_ext"):
        assert plain_norms_where_alone(model, on_gpu=True) is model
    after = dict(model.state_dict(keep_vars=True))
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert [type(norm) for norm in model[1:3]] == [nn.BatchNorm2d] * 2
    assert model[2].momentum == 0.3
    assert not model[2].training
    assert not model[2].weight.requires_grad
    assert torch.allclose(model(image), expected)
    assert "SyncBN runs as BN in 2 layers: there is one process" in caplog.text


def test_a_layer_alone_and_a_model_without_any(caplog: pytest.LogCaptureFixture) -> None:
    assert type(plain_norms_where_alone(nn.SyncBatchNorm(2), on_gpu=False)) is nn.BatchNorm2d
    caplog.clear()
    plain = nn.BatchNorm2d(2)
    assert plain_norms_where_alone(plain, on_gpu=False) is plain
    assert not caplog.text


def test_what_many_processes_with_gpus_have_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    synchronised = nn.SyncBatchNorm(2)
    assert plain_norms_where_alone(synchronised, on_gpu=True) is synchronised
    assert type(plain_norms_where_alone(synchronised, on_gpu=False)) is nn.BatchNorm2d


def test_one_process_needs_no_wrapper() -> None:
    model = nn.Linear(2, 2)
    assert wrap_for_processes(model, {"broadcast_buffers": False}) is model
