"""Pasting masks into images."""

import numpy as np
import pytest
import torch

from detectron2.layers import mask_ops, paste_masks_in_image
from detectron2.structures import Boxes
from tests.golden_files import load_golden


def random_case(count: int, side: int, height: int, width: int):
    generator = torch.Generator().manual_seed(side)
    size = torch.tensor([width, height], dtype=torch.float32)
    centres = torch.rand(count, 2, generator=generator) * size
    half = torch.rand(count, 2, generator=generator) * size / 3 + 0.3
    masks = torch.rand(count, side, side, generator=generator)
    return masks, torch.cat([centres - half, centres + half], dim=1)


def slow_paste(mask: torch.Tensor, box: list[float], shape: tuple[int, int]) -> torch.Tensor:
    """Bilinear sampling pixel by pixel, zeros around the mask."""
    side = len(mask)
    padded = torch.zeros(side + 2, side + 2)
    padded[1:-1, 1:-1] = mask
    left, top, right, bottom = box
    out = torch.zeros(shape)
    for y in range(shape[0]):
        for x in range(shape[1]):
            row = (y + 0.5 - top) / (bottom - top) * side + 0.5
            column = (x + 0.5 - left) / (right - left) * side + 0.5
            if not (0 <= row < side + 1 and 0 <= column < side + 1):
                continue
            r, c = int(row), int(column)
            a, b = row - r, column - c
            out[y, x] = (
                (1 - a) * (1 - b) * padded[r, c]
                + (1 - a) * b * padded[r, c + 1]
                + a * (1 - b) * padded[r + 1, c]
                + a * b * padded[r + 1, c + 1]
            )
    return out


def test_parity_with_reference():
    golden = load_golden("d2_components")
    expected = np.unpackbits(golden["paste.masks"], axis=-1)[..., :160].astype(bool)
    pasted = paste_masks_in_image(
        torch.from_numpy(golden["paste.probs"]), torch.from_numpy(golden["paste.boxes"]), (120, 160)
    )
    assert pasted.dtype == torch.bool
    assert np.array_equal(pasted.numpy(), expected)


def test_against_pixel_by_pixel():
    masks, boxes = random_case(4, 5, 19, 23)
    soft = paste_masks_in_image(masks, boxes, (19, 23), threshold=-1)
    assert soft.dtype == torch.uint8
    for index in range(4):
        slow = slow_paste(masks[index], boxes[index].tolist(), (19, 23)) * 255
        # Rounded down; the last bit of a float may decide which way.
        assert (slow - soft[index]).min() > -0.01
        assert (slow - soft[index]).max() < 1.01
        hard = paste_masks_in_image(masks[index : index + 1], boxes[index : index + 1], (19, 23))[0]
        clear = (slow / 255 - 0.5).abs() > 1e-5
        assert torch.equal(hard[clear], (slow / 255 >= 0.5)[clear])


def test_full_masks_fill_exactly_their_boxes():
    """Sides up to that of the mask: no pixel is interpolated between mask and background."""
    boxes = torch.tensor([[2.0, 3, 7, 9], [0, 0, 7, 7], [-2, -5, 4, 2], [9, 8, 16, 13]])
    pasted = paste_masks_in_image(torch.ones(4, 7, 7), boxes, (10, 12))
    for mask, (left, top, right, bottom) in zip(pasted, boxes.clamp(min=0).int(), strict=True):
        expected = torch.zeros(10, 12, dtype=torch.bool)
        expected[top:bottom, left:right] = True
        assert torch.equal(mask, expected)


@pytest.mark.parametrize("threshold", [0.3, 0.5, -1])
def test_threshold(threshold):
    masks = torch.full((1, 4, 4), 0.4)
    pasted = paste_masks_in_image(masks, torch.tensor([[0.0, 0, 6, 6]]), (6, 6), threshold)
    assert pasted[0, 3, 3].item() == {0.3: True, 0.5: False, -1: 102}[threshold]


def test_boxes_object_and_other_precisions():
    masks, boxes = random_case(3, 5, 20, 20)
    expected = paste_masks_in_image(masks, boxes, (20, 20))
    assert torch.equal(paste_masks_in_image(masks, Boxes(boxes), (20, 20)), expected)
    double = paste_masks_in_image(masks.double(), boxes, (20, 20))
    assert (double != expected).float().mean() < 1e-3
    assert paste_masks_in_image(torch.ones(1, 3, 3).bool(), boxes[:1], (20, 20)).any()


@pytest.mark.parametrize("shape", [(20, 30), (1, 1), (0, 5)])
def test_no_masks(shape):
    pasted = paste_masks_in_image(torch.zeros(0, 28, 28), torch.zeros(0, 4), shape)
    assert pasted.shape == (0, *shape)


def test_boxes_without_extent_show_nothing():
    boxes = torch.tensor([[5.0, 5, 5, 9], [5.5, 5, 5.5, 9], [4, 4, 4, 4]])
    assert not paste_masks_in_image(torch.ones(3, 4, 4), boxes, (12, 12)).any()


@pytest.mark.core_only(reason="upstream raises an error about step signs")
def test_boxes_outside_of_the_image_show_nothing():
    boxes = torch.tensor([[20.0, 20, 30, 30], [-30, -30, -20, -20], [8, 8, 3, 3]])
    assert not paste_masks_in_image(torch.ones(3, 4, 4), boxes, (12, 12)).any()


@pytest.mark.core_only(reason="upstream accepts square masks only")
def test_masks_need_not_be_square():
    mask = torch.tensor([[[1.0, 0, 0, 1]]])
    pasted = paste_masks_in_image(mask, torch.tensor([[1.0, 1, 5, 2]]), (3, 6))
    assert pasted[0].nonzero().tolist() == [[1, 1], [1, 4]]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises((AssertionError, ValueError)):
        paste_masks_in_image(torch.zeros(2, 4, 4), torch.zeros(1, 4), (5, 5))


@pytest.mark.core_only(reason="about private functions")
@pytest.mark.parametrize("limit", [1, 30 * 41 * 4 * 2, 1024**3])
def test_both_ways_of_pasting_agree(limit, monkeypatch):
    """The way for GPUs samples whole images in chunks, the way for CPUs only windows."""
    monkeypatch.setattr(mask_ops, "MEMORY_LIMIT", limit)
    masks, boxes = random_case(7, 14, 30, 41)
    boxes[2] = torch.tensor([5.0, 5, 5, 9])
    windows = torch.zeros(7, 30, 41, dtype=torch.bool)
    chunks = windows.clone()
    mask_ops._paste_one_by_one(windows, masks, boxes, 0.5)
    mask_ops._paste_in_chunks(chunks, masks, boxes, 0.5)
    assert windows.any()
    assert torch.equal(windows, chunks)
