"""Masks as crops: the same masks, in COCO's run lengths too."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from projects_ext.prediction.objects import MaskCrop, union


def random_mask(seed: int) -> np.ndarray:
    """Blobs, with whole rows and columns, at the edges too; some are empty or full."""
    random = np.random.RandomState(seed)
    height, width = random.randint(1, 12, 2)
    mask = random.rand(height, width) < random.choice([0.0, 0.2, 0.8, 1.0])
    mask[:, random.randint(width)] |= random.rand() < 0.5
    return mask


@pytest.mark.parametrize("seed", range(40))
def test_run_lengths_are_cocos(seed: int) -> None:
    mask = random_mask(seed)
    encoded = MaskCrop.of(mask).run_lengths(*mask.shape)
    expected = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encoded["counts"] == expected["counts"].decode()
    assert encoded["size"] == list(mask.shape)


@pytest.mark.parametrize("seed", range(20))
def test_crops_and_their_union(seed: int) -> None:
    first, second = (random_mask(seed) for _ in range(2))
    second = np.roll(second, 1, axis=0)
    height, width = first.shape
    a, b = MaskCrop.of(first, 3, 5), MaskCrop.of(second).shifted(3, 5)
    assert a.area == first.sum()
    assert np.array_equal(a.within(3, 5, 3 + width, 5 + height), first)
    assert np.array_equal(a.within(0, 0, 4 + width, 6 + height)[5:-1, 3:-1], first)
    both = union([a, b])
    assert np.array_equal(both.within(3, 5, 3 + width, 5 + height), first | second)
