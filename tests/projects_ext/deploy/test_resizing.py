"""Resizing and padding within programs: pixel by pixel what evaluation makes of an image."""

from typing import Any

import numpy as np
import pytest
import torch

from detectron2.data import transforms as T
from projects_ext.data.opencv_resize import OpenCVResizeShortestEdge
from projects_ext.deploy.preprocessing import Preprocessing
from projects_ext.deploy.resizing import shortest_edge_size
from projects_ext.errors import UserError

MEAN, STD = [10.0, 20.0, 30.0], [2.0, 3.0, 4.0]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.RandomState(height).randint(0, 256, (height, width, 3)).astype(np.uint8)


def evaluated(augmentation: Any, image: np.ndarray) -> np.ndarray:
    given = T.AugInput(np.ascontiguousarray(image))
    augmentation(given)
    return given.image


def test_sizes_are_those_of_evaluation() -> None:
    heights, widths = np.meshgrid(np.arange(1, 1500, 41), np.arange(2, 1500, 29))
    # Among the others are exact halves, whose rounding depends on floating point.
    pairs = [*zip(heights.ravel(), widths.ravel(), strict=True), (142, 71), (487, 974), (445, 890)]
    found = shortest_edge_size(*torch.tensor(np.array(pairs)).t(), short=800, longest=1333)
    expected = [T.ResizeShortestEdge.get_output_shape(int(h), int(w), 800, 1333) for h, w in pairs]
    assert torch.stack(found, dim=1).tolist() == [list(size) for size in expected]


@pytest.mark.parametrize("kind", [T.ResizeShortestEdge, OpenCVResizeShortestEdge])
@pytest.mark.parametrize("size", [(50, 61), (64, 64), (97, 230), (150, 220), (40, 300), (2, 3)])
def test_pixels_are_those_of_evaluation(kind: Any, size: tuple[int, int]) -> None:
    image = noise(*size)
    augmentation = kind([64, 64], 160, "choice")
    expected = evaluated(augmentation, image[:, :, ::-1])
    prepare = Preprocessing([augmentation], "BGR", MEAN, STD, 32)
    found, (height, width) = prepare(torch.from_numpy(image))
    assert (int(height), int(width)) == expected.shape[:2]
    assert found.shape[0] == 1
    assert all(side % 32 == 0 for side in found.shape[2:])
    wanted = (torch.tensor(expected).permute(2, 0, 1) - prepare.mean) / prepare.std
    assert torch.equal(found[0, :, : len(expected), : expected.shape[1]], wanted)
    assert not found[0, :, len(expected) :].any()
    assert not found[0, :, :, expected.shape[1] :].any()


def test_without_augmentation_an_image_keeps_its_pixels() -> None:
    image = noise(33, 45)
    found, (height, width) = Preprocessing([], "RGB", [0, 0, 0], [1, 1, 1], 1)(
        torch.from_numpy(image)
    )
    assert (int(height), int(width)) == (33, 45)
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), image)


@pytest.mark.parametrize(
    ("augmentations", "form", "words"),
    [
        ([T.ResizeShortestEdge([60, 80], 100, "choice")], "BGR", "of one length"),
        ([T.RandomFlip()], "BGR", "RandomFlip"),
        ([], "L", "format L"),
    ],
)
def test_what_no_program_can_do_is_refused(augmentations: Any, form: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Preprocessing(augmentations, form, MEAN, STD, 32)
