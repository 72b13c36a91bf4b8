"""Ground-truth masks at the stride they are compared at."""

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.measure import PeakMemory
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from projects_ext.condinst.ground_truth import sample_masks, semantic_targets

from .scenes import HEIGHT, OBJECTS, WIDTH, instances

# Beyond the borders; thin; at the border; nothing at all.
STRANGE = [
    [-20.0, -7, 50, 10, 30, 90], [60.2, 0, 61.1, 0, 61.1, 64, 60.2, 64],
    [90, 50, 96, 50, 96, 64, 90, 64], [120, 70, 130, 70, 130, 80], [3.1, 3.1, 3.2, 3.1, 3.2, 3.2],
]  # fmt: skip


@pytest.mark.parametrize("stride", [1, 4, 8])
@pytest.mark.parametrize("polygons", [OBJECTS[0], OBJECTS[2], STRANGE])
def test_samples_are_pixels_of_the_full_mask(stride: int, polygons: Any) -> None:
    truth = instances(polygons)
    full = BitMasks.from_polygon_masks(truth.gt_masks, HEIGHT, WIDTH).tensor
    # One cell more than the image has: the padding of a batch.
    size = (HEIGHT // stride + 1, WIDTH // stride + 1)
    expected = torch.zeros(len(polygons), *size, dtype=torch.bool)
    half = stride // 2
    expected[:, :-1, :-1] = full[:, half::stride, half::stride]
    bits = instances(polygons, bits=True)
    for found in (sample_masks(truth, stride, size), sample_masks(bits, stride, size)):
        assert torch.equal(found.masks, expected)
        assert found.areas.tolist() == full.sum((1, 2)).tolist()
        boxes = truth.gt_boxes.tensor
        for mask, box, center in zip(full, boxes, found.centers, strict=True):
            place = mask.nonzero().double().mean(dim=0).flip(0)
            wanted = place if mask.any() else (box[:2] + box[2:]).double() / 2
            torch.testing.assert_close(center.double(), wanted, rtol=1e-6, atol=1e-5)


def test_several_polygons_of_an_instance() -> None:
    truth = Instances((HEIGHT, WIDTH), gt_boxes=Boxes(torch.tensor([[2.0, 2, 90, 60]])))
    truth.gt_masks = PolygonMasks(
        [[np.array([2.0, 2, 20, 2, 20, 20]), np.array([70.0, 40, 90, 40, 90, 60])]]
    )
    full = BitMasks.from_polygon_masks(truth.gt_masks, HEIGHT, WIDTH).tensor
    found = sample_masks(truth, 4, (HEIGHT // 4, WIDTH // 4))
    assert torch.equal(found.masks, full[:, 2::4, 2::4])


def test_images_whose_sides_the_stride_does_not_divide() -> None:
    bits = torch.ones(1, 13, 22, dtype=torch.bool)
    truth = Instances((13, 22), gt_boxes=Boxes(torch.tensor([[0.0, 0, 22, 13]])))
    truth.gt_masks = BitMasks(bits)
    found = sample_masks(truth, 4, (8, 8)).masks[0]
    assert found.sum() == 3 * 5
    assert found[:3, :5].all()


def test_no_instances() -> None:
    found = sample_masks(instances([]), 4, (16, 24))
    assert found.masks.shape == (0, 16, 24)
    assert found.centers.shape == (0, 2)
    labels = semantic_targets(found.masks, found.areas, torch.zeros(0, dtype=torch.long), 3)
    assert (labels == 3).all()


def test_the_smallest_instance_gives_a_cell_its_class() -> None:
    masks = torch.zeros(3, 2, 3, dtype=torch.bool)
    masks[0, :, :2] = masks[1, 0, :] = masks[2, 0, 0] = True
    areas, classes = torch.tensor([40.0, 30, 10]), torch.tensor([5, 6, 7])
    assert semantic_targets(masks, areas, classes, 80).tolist() == [[7, 6, 6], [5, 5, 80]]


def test_a_hundred_instances_take_little_memory() -> None:
    """On 800 x 1344, bool masks at stride 4 are 6.7 MB; full-size ones would be 107 MB."""
    random = np.random.RandomState(0)
    polygons = []
    for _ in range(100):
        size = random.uniform(0.1, 1.0, 2) * [1344, 800]
        x, y = random.uniform(size=2) * ([1344, 800] - size)
        polygons.append([np.array([x, y, x + size[0], y, x + size[0], y + size[1]])])
    boxes = torch.tensor([[p[0][0], p[0][1], p[0][2], p[0][5]] for p in polygons])
    truth = Instances((800, 1344), gt_boxes=Boxes(boxes.float()))
    truth.gt_masks = PolygonMasks(polygons)
    found = sample_masks(truth, 4, (200, 336))
    assert found.masks.element_size() * found.masks.numel() < 7e6
    with PeakMemory() as peak:
        sample_masks(truth, 4, (200, 336))
    assert peak.mib < 60
