"""Deformable convolutions."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from detectron2.layers import DeformConv, ModulatedDeformConv
from tests.procedural import procedural_array


def values(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(procedural_array(f"tests/deform/{name}", shape))


def bilinear(image: torch.Tensor, y: float, x: float) -> torch.Tensor:
    """``image`` (C, H, W) at a place between its cells; zero outside."""
    total = torch.zeros(len(image))
    low_y, low_x = int(y // 1), int(x // 1)
    for row in (low_y, low_y + 1):
        for column in (low_x, low_x + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                weight = (1 - abs(y - row)) * (1 - abs(x - column))
                total += weight * image[:, row, column]
    return total


def slow_convolution(image, offset, mask, weight, bias, stride, padding, groups) -> torch.Tensor:
    """One image, one group of channels, place by place; ``groups``: deformable groups."""
    kernel = weight.shape[2]
    positions = kernel * kernel
    channels = len(image) // groups
    out = torch.zeros(len(weight), *offset.shape[1:])
    for row in range(out.shape[1]):
        for column in range(out.shape[2]):
            for position in range(positions):
                ky, kx = divmod(position, kernel)
                for group in range(groups):
                    index = group * positions + position
                    shift_y, shift_x = offset[2 * index : 2 * index + 2, row, column].tolist()
                    part = slice(group * channels, (group + 1) * channels)
                    sample = bilinear(
                        image[part],
                        row * stride - padding + ky + shift_y,
                        column * stride - padding + kx + shift_x,
                    )
                    sample = sample * mask[index, row, column]
                    out[:, row, column] += weight[:, part, ky, kx] @ sample
    return out + bias[:, None, None]


@pytest.mark.parametrize("stride", [1, 2])
def test_zero_offsets_make_an_ordinary_convolution(stride):
    layer = DeformConv(4, 6, 3, stride=stride, padding=1)
    x = values("x", 2, 4, 7, 8)
    expected = F.conv2d(x, layer.weight, stride=stride, padding=1)
    offset = torch.zeros(2, 18, *expected.shape[2:])
    torch.testing.assert_close(layer(x, offset), expected, atol=1e-5, rtol=1e-5)


def test_whole_offsets_shift_y_then_x():
    layer = DeformConv(1, 1, 1)
    nn.init.ones_(layer.weight)
    x = values("x", 1, 1, 5, 6)
    offset = torch.zeros(1, 2, 5, 6)
    offset[:, 0], offset[:, 1] = 1, 2
    assert torch.equal(layer(x, offset)[0, 0, :4, :4], x[0, 0, 1:, 2:])
    assert layer(x, offset)[0, 0, 4].tolist() == [0] * 6


@pytest.mark.core_only(reason="upstream has no modulated form and no deformable groups on CPUs")
@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 2)])
def test_against_place_by_place(stride, groups):
    layer = ModulatedDeformConv(4, 3, 3, stride=stride, padding=1, deformable_groups=groups)
    nn.init.normal_(layer.bias)
    x = values("x", 2, 4, 5, 6)
    size = F.conv2d(x, layer.weight, stride=stride, padding=1).shape[2:]
    offset = values("offset", 2, 18 * groups, *size)
    mask = values("mask", 2, 9 * groups, *size).sigmoid()
    with torch.no_grad():
        out = layer(x, offset, mask)
        for index in range(2):
            expected = slow_convolution(
                x[index], offset[index], mask[index], layer.weight, layer.bias, stride, 1, groups
            )
            torch.testing.assert_close(out[index], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.core_only(reason="upstream has no modulated form on CPUs")
def test_full_weights_make_the_unmodulated_form():
    plain = DeformConv(4, 6, 3, padding=1, groups=2)
    modulated = ModulatedDeformConv(4, 6, 3, padding=1, groups=2)
    modulated.load_state_dict({"weight": plain.weight, "bias": torch.zeros(6)})
    x, offset = values("x", 2, 4, 5, 5), values("offset", 2, 18, 5, 5)
    torch.testing.assert_close(modulated(x, offset, torch.ones(2, 9, 5, 5)), plain(x, offset))
    halves = modulated(x, offset, torch.full((2, 9, 5, 5), 0.5))
    torch.testing.assert_close(halves, plain(x, offset) / 2, atol=1e-5, rtol=1e-5)


@pytest.mark.core_only(reason="upstream has no gradients on CPUs")
def test_gradients():
    layer = ModulatedDeformConv(2, 2, 3, padding=1).double()
    x = values("x", 1, 2, 4, 4).double().requires_grad_()
    offset = (values("offset", 1, 18, 4, 4).double() * 0.3 + 0.1).requires_grad_()
    mask = values("mask", 1, 9, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(layer, (x, offset, mask))


@pytest.mark.parametrize("kind", [DeformConv, ModulatedDeformConv])
def test_state_names_and_initial_values(kind):
    norm = nn.BatchNorm2d(6)
    names = set(kind(4, 6, 3, norm=norm, groups=2).state_dict())
    expected = {"weight"} | {f"norm.{name}" for name in norm.state_dict()}
    assert names == expected | ({"bias"} if kind is ModulatedDeformConv else set())
    torch.manual_seed(0)
    layer = kind(4, 6, 3, groups=2)
    torch.manual_seed(0)
    weight = nn.init.kaiming_uniform_(torch.empty(6, 2, 3, 3), nonlinearity="relu")
    assert torch.equal(layer.weight, weight)
    if kind is ModulatedDeformConv:
        assert layer.bias.tolist() == [0] * 6
        assert list(kind(4, 6, 3, bias=False).state_dict()) == ["weight"]


def test_norm_and_activation_follow():
    torch.manual_seed(0)
    layer = DeformConv(4, 6, 3, padding=1, norm=nn.GroupNorm(2, 6), activation=torch.tanh)
    plain = DeformConv(4, 6, 3, padding=1)
    plain.load_state_dict({"weight": layer.weight})
    x, offset = values("x", 2, 4, 5, 5), values("offset", 2, 18, 5, 5)
    torch.testing.assert_close(layer(x, offset), torch.tanh(layer.norm(plain(x, offset))))


def test_empty_batch():
    layer = DeformConv(4, 6, 3, stride=2, padding=1)
    out = layer(torch.zeros(0, 4, 5, 5), torch.zeros(0, 18, 3, 3))
    assert out.shape == (0, 6, 3, 3)


@pytest.mark.core_only(reason="upstream fails here")
def test_empty_batch_of_the_modulated_form_has_gradients():
    layer = ModulatedDeformConv(4, 6, 3, padding=1, norm=nn.BatchNorm2d(6))
    offset = torch.zeros(0, 18, 5, 5, requires_grad=True)
    out = layer(torch.zeros(0, 4, 5, 5), offset, torch.zeros(0, 9, 5, 5))
    assert out.shape == (0, 6, 5, 5)
    out.sum().backward()
    assert layer.weight.grad is not None
    assert offset.grad is not None


def test_wrong_groups_and_offsets_are_refused():
    with pytest.raises((AssertionError, ValueError), match="6"):
        DeformConv(4, 6, 3, groups=4)
    with pytest.raises((RuntimeError, ValueError)):
        DeformConv(4, 6, 3, padding=1)(torch.zeros(1, 4, 5, 5), torch.zeros(1, 9, 5, 5))
    layer = DeformConv(3, 6, 3, padding=1, deformable_groups=2)
    with pytest.raises((RuntimeError, ValueError)):
        layer(torch.zeros(1, 3, 5, 5), torch.zeros(1, 36, 5, 5))


def test_settings_are_printed():
    text = "in_channels=3, out_channels=6, kernel_size=(3, 3), stride={}, padding={}, dilation={}, "
    text += "groups=1, deformable_groups=2, bias={}"
    pairs = text.format((2, 2), (1, 1), (1, 1), False)
    assert repr(DeformConv(3, 6, 3, 2, 1, deformable_groups=2)) == f"DeformConv({pairs})"
    numbers = text.format(2, 1, 1, True)
    modulated = ModulatedDeformConv(3, 6, 3, 2, 1, deformable_groups=2)
    assert repr(modulated) == f"ModulatedDeformConv({numbers})"
