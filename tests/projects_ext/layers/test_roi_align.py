"""RoIAlign by rows of pixels gives what torchvision's operator gives."""

import pytest
import torch
from torchvision.ops import roi_align

from projects_ext.layers import pixel_rows, roi_align_rows
from tests.procedural import procedural_noise

REGIONS = torch.tensor(
    [
        [0, 10.3, 20.7, 90.1, 60.9],
        [1, 0.0, 0.0, 128.0, 96.0],
        [1, 5.5, 6.5, 5.6, 6.6],  # less than a pixel
        [0, -30.0, -50.0, 20.0, 30.0],  # partly outside
        [1, 100.0, 80.0, 190.0, 150.0],
        [0, 300.0, 300.0, 340.0, 360.0],  # wholly outside
        [0, 50.0, 40.0, 30.0, 20.0],  # the wrong way round
        [1, 2.0, 3.0, 2.0, 3.0],  # a point
    ],
    dtype=torch.float64,
)


def maps(channels: int = 5) -> torch.Tensor:
    return procedural_noise("map", (2, channels, 24, 32)).double()


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [1, 2, 3])
@pytest.mark.parametrize("size", [(7, 7), (3, 5)])
def test_same_values_and_gradients(size: tuple[int, int], ratio: int, aligned: bool) -> None:
    settings = (size, 0.25, ratio, aligned)
    results = []
    for rows in (True, False):
        features = maps().requires_grad_()
        if rows:
            pooled = roi_align_rows(pixel_rows(features), REGIONS, *settings)
        else:
            pooled = roi_align(features, REGIONS, *settings)
        pooled.backward(procedural_noise("gradient", pooled.shape).double())
        results.append((pooled, features.grad))
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (6, 1)])
def test_maps_of_one_row_or_column(size: tuple[int, int]) -> None:
    features = procedural_noise("small", (2, 4, *size)).double()
    found = roi_align_rows(pixel_rows(features), REGIONS, (7, 7), 1 / 32, 2)
    torch.testing.assert_close(found, roi_align(features, REGIONS, 7, 1 / 32, 2, aligned=True))


def test_no_region() -> None:
    features = maps().requires_grad_()
    pooled = roi_align_rows(pixel_rows(features), REGIONS[:0], (7, 7), 0.25, 2)
    assert pooled.shape == (0, 5, 7, 7)
    pooled.sum().backward()
    assert features.grad is not None
    assert not features.grad.any()


def test_channels_stay_together_in_memory() -> None:
    pooled = roi_align_rows(pixel_rows(maps()), REGIONS, (7, 7), 0.25, 2)
    assert pooled.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_rows_are_pixels_in_float32_at_least(dtype: torch.dtype) -> None:
    features = maps().to(dtype)
    rows = pixel_rows(features)
    assert rows.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert rows.is_contiguous()
    assert torch.equal(rows, features.permute(0, 2, 3, 1).to(rows.dtype))
