"""Recomputing changes neither losses nor gradients nor statistics."""

import copy

import pytest
import torch
from torch import nn

from detectron2.modeling.backbone import BasicStem, ResNet
from projects_ext.engine.options import recompute_backbone
from projects_ext.errors import UserError


def small_resnet() -> ResNet:
    torch.manual_seed(0)
    stages = ResNet.make_default_stages(18, norm="BN")
    return ResNet(BasicStem(in_channels=3, norm="BN"), stages, out_features=["res3", "res5"])


def step(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    loss = sum(value.square().mean() for value in model(images).values())
    loss.backward()
    return loss.detach()


def test_same_loss_gradients_and_statistics() -> None:
    plain, images = small_resnet(), torch.randn(2, 3, 64, 64)
    recomputing = copy.deepcopy(plain)
    recompute_backbone(recomputing)
    copied = copy.deepcopy(recomputing)
    for model in (recomputing, copied):
        plain.zero_grad()
        other = copy.deepcopy(plain)
        assert torch.equal(step(model, images), step(other, images))
        for name, parameter in other.named_parameters():
            assert torch.equal(parameter.grad, dict(model.named_parameters())[name].grad), name
        for name, value in other.state_dict().items():
            assert torch.equal(value, model.state_dict()[name]), name


def test_less_is_kept_for_the_backward_pass() -> None:
    def kept(model: nn.Module) -> int:
        total = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(torch.randn(1, 3, 64, 64))
        return total

    plain, recomputing = small_resnet(), small_resnet()
    recompute_backbone(recomputing)
    assert kept(recomputing) < 0.5 * kept(plain)


def test_evaluation_runs_as_it_is_and_other_backbones_are_refused() -> None:
    model = small_resnet().eval()
    images = torch.randn(1, 3, 64, 64)
    expected = model(images)["res5"]
    recompute_backbone(model)
    assert torch.equal(model(images)["res5"], expected)
    with pytest.raises(UserError, match=r"train\.recompute .* has none: set it to False"):
        recompute_backbone(nn.Linear(2, 2))
