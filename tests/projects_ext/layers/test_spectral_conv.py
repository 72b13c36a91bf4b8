"""The convolution by spectra against the usual one."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from projects_ext.layers import SmallMapConv2d, spectral_conv
from projects_ext.layers.spectral_conv import spectral_conv2d
from tests.procedural import procedural_noise

SHAPES = [
    # N, C, O, h, w, k
    (3, 4, 6, 7, 7, 5),
    (2, 3, 5, 14, 14, 5),
    (2, 3, 2, 4, 9, 3),
    (2, 2, 3, 1, 2, 7),
    (1, 2, 2, 6, 5, 1),
]


def values(shape: tuple[int, ...]) -> list[Tensor]:
    """Maps, kernels, biases and the gradient of the result, in float64."""
    n, c, o, h, w, k = shape
    sizes = {"x": (n, c, h, w), "weight": (o, c, k, k), "bias": (o,), "gradient": (n, o, h, w)}
    return [procedural_noise(name, size).double() for name, size in sizes.items()]


@pytest.mark.parametrize("frequencies", [7, spectral_conv.FREQUENCIES])
@pytest.mark.parametrize("shape", SHAPES)
def test_usual_convolution_and_its_gradients(shape, frequencies, monkeypatch) -> None:
    monkeypatch.setattr(spectral_conv, "FREQUENCIES", frequencies)
    x, weight, bias, gradient = values(shape)
    results = []
    for spectral in (True, False):
        leaves = [value.clone().requires_grad_() for value in (x, weight, bias)]
        convolve = spectral_conv2d if spectral else partial(F.conv2d, padding=shape[-1] // 2)
        output = convolve(*leaves)
        results.append([output, *torch.autograd.grad(output, leaves, gradient)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_gradients_of_gradients() -> None:
    leaves = [value.requires_grad_() for value in values((2, 2, 3, 3, 4, 3))[:3]]
    assert torch.autograd.gradcheck(spectral_conv2d, leaves)
    assert torch.autograd.gradgradcheck(spectral_conv2d, leaves)


def layer(**options) -> SmallMapConv2d:
    torch.manual_seed(0)
    return SmallMapConv2d(64, 64, 5, activation=nn.ReLU(), **options)


def usual(module: SmallMapConv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, module.weight, module.bias, padding=2).relu()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_less_exact_than_the_usual_one(dtype: torch.dtype) -> None:
    """Distances from the exact result, whose values are around 1."""
    module, x = layer(), procedural_noise("x", (60, 64, 7, 7))
    assert module.spectra_pay(60, (7, 7), x.device)
    with torch.no_grad():
        exact = usual(module.double(), x.double())
        module = module.float()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            found, expected = module(x), usual(module, x)
    assert found.dtype == expected.dtype == dtype
    error, usual_error = ((y.double() - exact).square().mean().sqrt() for y in (found, expected))
    assert 0 < error < 1.5 * usual_error + 1e-7


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_spectra_kept_for_many_calls(dtype: torch.dtype, monkeypatch) -> None:
    module, x = layer(), procedural_noise("x", (60, 64, 7, 7)).to(dtype)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        expected = module(x)
        with module.kept_spectra(60, x[0]):
            monkeypatch.setattr(spectral_conv, "kernel_spectra", None)
            monkeypatch.setattr(spectral_conv, "PART", 10 * 49)
            found = torch.cat([module(part) for part in x.split(16)])
            monkeypatch.undo()
        assert (found - expected).norm() <= (
            1e-6 if dtype == torch.float32 else 5e-3
        ) * found.norm()
        torch.testing.assert_close(module(x[:1]), usual(module, x[:1]))
        with module.kept_spectra(1, x[0]):
            torch.testing.assert_close(module(x[:1]), usual(module, x[:1]))


def test_weights_learn_in_mixed_precision() -> None:
    module, x = layer(), procedural_noise("x", (60, 64, 7, 7))
    gradients = []
    for run in (module, lambda x: usual(module, x)):
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            run(x).float().square().sum().backward()
        gradients.append([module.weight.grad, module.bias.grad])
    for found, expected in zip(*gradients, strict=True):
        assert found.dtype == torch.float32
        assert (found - expected).norm() < 0.02 * expected.norm()


def test_few_maps_or_large_ones_are_convolved_as_usual() -> None:
    module, cpu = layer(), torch.device("cpu")
    assert not module.spectra_pay(1, (7, 7), cpu)
    assert not module.spectra_pay(1000, (7, 7), torch.device("cuda"))
    assert not module.spectra_pay(0, (7, 7), cpu)
    assert not module.spectra_pay(1000, (200, 300), cpu)
    assert not SmallMapConv2d(16, 16, 1).spectra_pay(1000, (7, 7), cpu)
    for count in (0, 1):
        x = procedural_noise("x", (count, 64, 7, 7))
        torch.testing.assert_close(module(x), usual(module, x))


def test_names_are_those_of_a_convolution() -> None:
    module = layer()
    assert list(module.state_dict()) == ["weight", "bias"]
    assert layer(bias=False).bias is None
    with pytest.raises(ValueError, match="kernel_size is 4: an odd size keeps"):
        SmallMapConv2d(2, 2, 4)
