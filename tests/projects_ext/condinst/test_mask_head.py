"""From predicted parameters to masks: the loss in blocks, masks at the image's size in chunks."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import PeakMemory
from projects_ext.condinst import DynamicMaskHead, mask_head
from projects_ext.layers import dynamic_mask
from tests.procedural import procedural_noise
from tests.references.condinst import dice, enlarge, instance_mask


def inputs(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of an image of 64 x 96."""
    points = torch.tensor([[20.0, 36], [60, 20], [80, 50]]).repeat(count, 1)[:count]
    strides = torch.tensor([8.0, 16, 32]).repeat(count)[:count]
    features = procedural_noise("features", (8, 8, 12))
    return features, 0.3 * procedural_noise("parameters", (count, 169)), points, strides


def targets() -> Tensor:
    return procedural_noise("targets", (2, 16, 24)) > 0.3


@pytest.mark.parametrize("block", [1, 2**19])
def test_the_loss_is_the_sum_of_every_masks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic_mask, "BLOCK", block)
    instances = torch.tensor([1, 0, 1, 1, 0])
    results = []
    for literal in (False, True):
        features, parameters, points, strides = inputs(5)
        leaves = [features.requires_grad_(), parameters.requires_grad_()]
        if literal:
            logits = [
                instance_mask(features, *own, 8)
                for own in zip(parameters, points, strides.tolist(), strict=True)
            ]
            pairs = zip(logits, targets()[instances], strict=True)
            total = torch.stack([dice(enlarge(x, 2), target) for x, target in pairs]).sum()
        else:
            given = (features, parameters, points, strides, targets(), instances)
            total = DynamicMaskHead().loss(*given)
        results.append([total, *torch.autograd.grad(total * 0.5, leaves)])
    for own, expected in zip(*results, strict=True):
        assert (own - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_loss_in_half_precision_is_near() -> None:
    features, parameters, points, strides = inputs(4)
    given = (points, strides, targets(), torch.tensor([0, 1, 1, 0]))
    expected = DynamicMaskHead().loss(features, parameters, *given)
    with torch.autocast("cpu", torch.bfloat16):
        found = DynamicMaskHead().loss(features.bfloat16(), parameters.bfloat16(), *given)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0)


def pasted(logits: Tensor, image_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """All at once."""
    fine = torch.stack([enlarge(enlarge(x, 2).sigmoid(), 4) for x in logits])[:, None]
    fine = fine[..., : image_size[0], : image_size[1]]
    return F.interpolate(fine, size=size, mode="bilinear", align_corners=False)[:, 0] > 0.5


@pytest.mark.parametrize("size", [(61, 90), (122, 180), (33, 47), (200, 90)])
@pytest.mark.parametrize("chunk", [1, 2**23])
def test_masks_at_the_images_size(chunk: int, size: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_head, "CHUNK", chunk)
    logits = DynamicMaskHead()(*inputs(5))
    found = DynamicMaskHead().paste(logits, (61, 90), size)
    assert found.dtype == torch.bool
    expected = pasted(logits, (61, 90), size)
    assert 0.1 < expected.float().mean() < 0.9
    assert (found != expected).sum() <= 1e-4 * expected.numel()


def test_masks_are_tested_where_they_are_trained() -> None:
    """Cell i of the masks that train stands for pixel 2 + 4 i."""
    logits = DynamicMaskHead()(*inputs(5))
    found = DynamicMaskHead().paste(logits, (64, 96), (64, 96))
    trained = DynamicMaskHead().probabilities(logits) > 0.5
    assert torch.equal(found[:, 2::4, 2::4], trained)


def test_no_masks() -> None:
    found = DynamicMaskHead().paste(torch.zeros(0, 8, 12), (64, 96), (100, 150))
    assert found.shape == (0, 100, 150)


def test_strides_have_to_fit() -> None:
    with pytest.raises(ValueError, match="stride 3 does not divide 8"):
        DynamicMaskHead(out_stride=3)


def test_other_sizes_of_the_head() -> None:
    head = DynamicMaskHead(in_channels=16, channels=4)
    assert head.num_parameters == 18 * 4 + 16 + 4 + 4 + 4 + 1
    assert DynamicMaskHead().num_parameters == 169
    found = head(torch.randn(16, 5, 6), torch.randn(2, 101), torch.zeros(2, 2), torch.ones(2) * 8)
    assert found.shape == (2, 5, 6)


def test_a_hundred_masks_of_a_large_image_take_less_than_a_gigabyte() -> None:
    """The result alone takes 450 MB."""
    head, logits = DynamicMaskHead(), torch.randn(100, 125, 168)
    head.paste(logits[:1], (1000, 1333), (60, 80))
    with PeakMemory() as peak:
        found = head.paste(logits, (972, 1333), (1800, 2500))
    assert found.shape == (100, 1800, 2500)
    assert 400 < peak.mib < 1000


def test_training_a_hundred_masks_takes_less_than_half_of_the_usual_memory() -> None:
    """On 800 x 1344 the usual form repeats features, and keeps hidden values, of 54 MB each."""
    features = torch.randn(8, 100, 168, requires_grad=True)
    parameters = (0.1 * torch.randn(100, 169)).requires_grad_()
    points, strides = torch.rand(100, 2) * 800, torch.full((100,), 16.0)
    given = (points, strides, torch.rand(20, 200, 336) > 0.5, torch.arange(100) % 20)
    head = DynamicMaskHead()
    head.loss(features, parameters, *given).backward()
    with PeakMemory() as peak:
        head.loss(features, parameters, *given).backward()
    assert peak.mib < 100
