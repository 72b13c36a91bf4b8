"""Batches of images of several sizes."""

import pytest
import torch

from detectron2.structures import ImageList


def images() -> list[torch.Tensor]:
    return [torch.full((3, 4, 5), 1.0), torch.full((3, 6, 3), 2.0)]


def test_padding_is_right_and_below():
    batch = ImageList.from_tensors(images(), pad_value=9.0)
    assert batch.tensor.shape == (2, 3, 6, 5)
    assert batch.image_sizes == [(4, 5), (6, 3)]
    assert (batch.tensor[0, :, :4, :5] == 1).all()
    assert (batch.tensor[0, :, 4:] == 9).all()
    assert (batch.tensor[1, :, :, 3:] == 9).all()


def test_indexing_removes_the_padding():
    batch = ImageList.from_tensors(images(), 8)
    for index, image in enumerate(images()):
        assert torch.equal(batch[index], image)
    assert torch.equal(batch[-1], images()[1])
    assert len(batch) == 2


def test_label_maps_without_channels_and_other_types():
    batch = ImageList.from_tensors([torch.ones(4, 5, dtype=torch.uint8)], 4, 255)
    assert batch.tensor.dtype == torch.uint8
    assert batch.tensor.shape == (1, 4, 8)
    assert batch.tensor.sum() == 20 + 12 * 255


@pytest.mark.parametrize(
    ("divisibility", "constraints", "size"),
    [
        (0, None, (6, 5)),
        (1, None, (6, 5)),
        (4, None, (8, 8)),
        (4, {"size_divisibility": 32}, (32, 32)),
        (64, {"size_divisibility": 32}, (32, 32)),
        (0, {"square_size": 16}, (16, 16)),
        (64, {"square_size": 50}, (64, 64)),
        (0, {"square_size": 16, "size_divisibility": 8}, (16, 16)),
        (4, {"square_size": 0, "size_divisibility": 3}, (6, 6)),
    ],
)
def test_size_constraints(divisibility, constraints, size):
    batch = ImageList.from_tensors(images(), divisibility, 0.0, constraints)
    assert batch.tensor.shape[-2:] == size


def test_the_batch_is_a_copy():
    image = torch.zeros(1, 2, 2)
    ImageList.from_tensors([image]).tensor.add_(1)
    assert image.sum() == 0


def test_gradients_reach_the_images():
    image = torch.zeros(1, 2, 2, requires_grad=True)
    ImageList.from_tensors([image, torch.zeros(1, 3, 3)], 4).tensor.sum().backward()
    assert image.grad.tolist() == [[[1, 1], [1, 1]]]


def test_to_keeps_the_sizes():
    batch = ImageList.from_tensors(images()).to(dtype=torch.float64)
    assert batch.tensor.dtype == torch.float64
    assert batch.image_sizes == [(4, 5), (6, 3)]
    assert batch.device.type == "cpu"


def test_what_cannot_be_a_batch_is_refused():
    for bad in ([], [torch.zeros(3, 2, 2), torch.zeros(1, 2, 2)], [[[1.0]]]):
        with pytest.raises((AssertionError, ValueError, TypeError)):
            ImageList.from_tensors(bad)


@pytest.mark.core_only(reason="upstream crops silently")
def test_an_image_larger_than_the_square_is_refused():
    with pytest.raises(ValueError, match="square of side 4"):
        ImageList.from_tensors(images(), 0, 0.0, {"square_size": 4})
