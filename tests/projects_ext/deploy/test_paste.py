"""Masks are pasted in NumPy as they are with torch."""

import numpy as np
import pytest
import torch

from detectron2.layers import paste_masks_in_image
from projects_ext.condinst.mask_head import DynamicMaskHead
from projects_ext.deploy.paste import paste_in_boxes, paste_maps

SIZE = (61, 83)
BOXES = (
    (3.2, 4.7, 60.1, 50.9),
    (0.0, 0.0, 83.0, 61.0),
    (-12.5, -3.0, 20.0, 30.5),
    (70.3, 40.2, 99.0, 80.0),
    (10.0, 10.0, 10.0, 30.0),
    (40.2, 20.1, 40.9, 20.8),
    (200.0, 200.0, 300.0, 300.0),
)


def smooth(count: int, height: int, width: int) -> torch.Tensor:
    """Probabilities (count, height, width) with borders between them."""
    random = torch.Generator().manual_seed(count)
    coarse = torch.randn(1, count, 6, 6, generator=random) * 4
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return fine[0].sigmoid()


@pytest.mark.core_only(reason="upstream pastes no box outside of its image")
def test_in_boxes_as_detectron2_does() -> None:
    masks, boxes = smooth(len(BOXES), 28, 28), torch.tensor(BOXES)
    expected = paste_masks_in_image(masks, boxes, SIZE).numpy()
    found = paste_in_boxes(masks.numpy(), boxes.numpy(), SIZE)
    assert found.dtype == bool
    assert expected[:4].any(axis=(1, 2)).all()
    assert not expected[:4].all(axis=(1, 2)).any()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seen", [(61, 83), (128, 174), (60, 82), (40, 55), (200, 272)])
@pytest.mark.parametrize("stride", [2, 4])
def test_maps_as_condinst_does(seen: tuple[int, int], stride: int) -> None:
    head = DynamicMaskHead(stride=stride, out_stride=stride)
    cells = [-(-side // 32) * 32 // stride for side in seen]
    probabilities = smooth(5, *cells)
    probabilities[3] = 0.2
    probabilities[4] = 0.9
    expected = head.paste(probabilities.logit(), seen, SIZE).numpy()
    found = paste_maps(probabilities.numpy(), stride, seen, SIZE)
    assert found.dtype == bool
    assert found[4].all()
    assert not found[3].any()
    assert 0.1 < expected[:3].mean() < 0.9
    assert (found != expected).mean() < 2e-5


def test_no_mask_at_all() -> None:
    nothing = np.zeros((0, 28, 28), np.float32)
    assert paste_in_boxes(nothing, np.zeros((0, 4), np.float32), SIZE).shape == (0, *SIZE)
    assert paste_maps(nothing, 4, (100, 100), SIZE).shape == (0, *SIZE)
