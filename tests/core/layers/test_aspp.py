"""Atrous spatial pyramid pooling; sums are upstream's."""

import pytest
import torch
from torch import nn

from detectron2.layers import ASPP
from tests.core.modeling.dense_models import load_procedural


def make(**options):
    torch.manual_seed(0)
    module = ASPP(4, 6, [1, 2, 3], activation=nn.ReLU(), **options)
    return load_procedural(module, gains=()).eval()


@pytest.fixture
def x():
    return torch.linspace(-1, 1, 2 * 4 * 8 * 12).reshape(2, 4, 8, 12).sin()


@pytest.mark.parametrize(
    ("options", "total"),
    [
        ({"norm": "BN"}, 174.7199),
        ({"norm": ""}, 172.7584),
        ({"norm": "BN", "use_depthwise_separable_conv": True}, 137.5025),
        ({"norm": "GN2", "pool_kernel_size": (4, 6)}, 233.1035),
    ],
)
@torch.no_grad()
def test_output(options, total, x):
    if options["norm"] == "GN2":
        options = {**options, "norm": lambda channels: nn.GroupNorm(2, channels)}
    y = make(**options)(x)
    assert y.shape == (2, 6, 8, 12)
    weights = torch.linspace(0, 1, y.numel()).reshape(y.shape)
    assert float((y * weights).sum()) == pytest.approx(total, rel=1e-4)


def test_names_and_dropout(x):
    module = make(norm="BN", dropout=0.5)
    names = set(dict(module.named_parameters()))
    assert {"convs.0.norm.weight", "convs.3.weight", "convs.4.1.bias", "project.weight"} <= names
    assert "project.bias" not in names
    assert torch.equal(module(x), module(x))
    module.train()
    assert not torch.equal(module(x), module(x))


def test_refusals(x):
    with pytest.raises(AssertionError, match="3"):
        ASPP(4, 6, [1, 2], norm="", activation=None)
    with pytest.raises(ValueError, match="12"):
        make(norm="", pool_kernel_size=(4, 5))(x)
