"""BatchNorm with fixed statistics."""

import pytest
import torch
from torch import nn

from detectron2.layers import FrozenBatchNorm2d
from projects_ext.layers import FrozenStatisticsBatchNorm2d


def norm() -> FrozenStatisticsBatchNorm2d:
    layer = FrozenStatisticsBatchNorm2d(4)
    generator = torch.Generator().manual_seed(0)
    for value in layer.state_dict().values():
        if value.dim():
            value.copy_(torch.rand(4, generator=generator) + 0.5)
    return layer


@pytest.mark.parametrize("training", [True, False])
def test_uses_and_keeps_the_statistics_in_either_mode(training: bool) -> None:
    layer = nn.Sequential(norm()).train(training)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(1))
    columns = {name[2:]: value.view(-1, 1, 1) for name, value in before.items() if value.dim()}
    expected = (x - columns["running_mean"]) / (columns["running_var"] + 1e-5).sqrt()
    expected = expected * columns["weight"] + columns["bias"]
    torch.testing.assert_close(layer(x), expected)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_a_new_layer_does_not_look_at_the_batch() -> None:
    x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(1)) + 7
    torch.testing.assert_close(FrozenStatisticsBatchNorm2d(4)(x), x, rtol=1e-4, atol=1e-4)


def test_scale_and_shift_train() -> None:
    layer = norm().train()
    layer(torch.ones(2, 4, 3, 3)).square().sum().backward()
    for parameter in (layer.weight, layer.bias):
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).all())


def test_frozen_stages_freeze_it_altogether() -> None:
    layer = norm()
    frozen = FrozenBatchNorm2d.convert_frozen_batchnorm(nn.Sequential(layer))
    assert isinstance(frozen[0], FrozenBatchNorm2d)
    x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(frozen(x), layer(x))


def test_state_dict_is_that_of_batch_norm() -> None:
    nn.BatchNorm2d(4).load_state_dict(norm().state_dict(), strict=True)
