"""The dynamic mask head without repeated features, against an own network for each instance."""

import pytest
import torch
from torch import Tensor

from projects_ext.layers import aligned_bilinear, cell_centers, dynamic_mask, dynamic_masks
from tests.procedural import procedural_noise
from tests.references.condinst import enlarge, instance_mask, interpolated, repeated_masks

STRIDE = 8


def inputs(count: int, height: int = 6, width: int = 9) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, parameters, points and the strides of their levels."""
    features = procedural_noise("features", (8, height, width))
    parameters = procedural_noise("parameters", (count, 169))
    limits = torch.tensor([width * STRIDE, height * STRIDE])
    points = procedural_noise("points", (count, 2)).sigmoid() * limits
    return features, parameters, points, 8.0 * 2.0 ** (torch.arange(count) % 5)


def masks(features: Tensor, parameters: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    return dynamic_masks(features, parameters, points, strides * 8, stride=STRIDE)


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("block", [1, 2**19])
def test_each_instance_has_a_network_of_its_own(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamic_mask, "BLOCK", block)
    features, parameters, points, strides = inputs(5)
    with torch.no_grad():
        found = masks(features, parameters, points, strides)
    expected = [
        instance_mask(features, own, point, float(stride), STRIDE)
        for own, point, stride in zip(parameters, points, strides, strict=True)
    ]
    assert_close(found, torch.stack(expected))


@pytest.mark.parametrize("block", [1, 2**19])
def test_gradients(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic_mask, "BLOCK", block)
    features, parameters, points, strides = inputs(7)
    gradient = procedural_noise("gradient", (7, 6, 9))
    results = []
    for repeated in (False, True):
        leaves = [features.clone().requires_grad_(), parameters.clone().requires_grad_()]
        if repeated:
            found = repeated_masks(*leaves, points, strides * 8, STRIDE)
        else:
            found = masks(*leaves, points, strides)
        results.append(torch.autograd.grad(found, leaves, gradient))
    for own, expected in zip(*results, strict=True):
        assert_close(own, expected)


def test_no_instances() -> None:
    features, parameters, points, strides = inputs(0)
    features.requires_grad_()
    found = masks(features, parameters, points, strides)
    assert found.shape == (0, 6, 9)
    found.sum().backward()
    assert not features.grad.any()


def test_far_from_the_origin_as_exact_as_near() -> None:
    features, parameters, points, strides = inputs(3, 100, 168)
    points[:] = torch.tensor([1339.0, 795.0])
    found = masks(features, parameters, points, strides)
    sizes = strides.double() * 8
    expected = repeated_masks(
        features.double(), parameters.double(), points.double(), sizes, STRIDE
    )
    assert_close(found, expected.float(), 2e-6)


def test_half_precision_features_lose_nothing_more() -> None:
    features, parameters, points, strides = inputs(4)
    half, own = features.bfloat16(), parameters.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = masks(half, own, points, strides)
    assert found.dtype == torch.float32
    assert_close(found, masks(half.float(), own.float(), points, strides))


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("size", [(5, 7), (1, 3)])
def test_aligned_bilinear(factor: int, size: tuple[int, int]) -> None:
    x = procedural_noise("map", (2, 3, *size))
    found = aligned_bilinear(x, factor)
    assert found.shape == (2, 3, size[0] * factor, size[1] * factor)
    for image, own in zip(x.flatten(0, 1), found.flatten(0, 1), strict=True):
        assert_close(own, enlarge(image, factor), 1e-6)
    assert_close(found[0], interpolated(x[0], factor), 1e-6)


def test_aligned_bilinear_does_not_shift() -> None:
    x = torch.arange(6.0).expand(1, 1, 6, 6)
    places = torch.arange(2, 22)
    assert torch.allclose(aligned_bilinear(x, 4)[0, 0, 5, places], (places - 2) / 4)


def test_cell_centers() -> None:
    expected = [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
    assert cell_centers(2, 3, 8, "cpu").tolist() == expected
