"""Resizing and padding within programs: pixel by pixel what evaluation makes of an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from detectron2.data import transforms as T
from projects_ext.data.opencv_resize import OpenCVResizeShortestEdge
from projects_ext.deploy import resizing
from projects_ext.deploy.formats import ENDINGS, export, runner
from projects_ext.deploy.metadata import Metadata
from projects_ext.deploy.preprocessing import Preprocessing
from projects_ext.deploy.resizing import (
    pillow_shrinks_rows_first,
    resize_as_pillow,
    shortest_edge_size,
)
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
@pytest.mark.parametrize(
    "size",
    [
        (50, 61),
        (64, 64),
        (97, 230),
        (150, 220),
        (40, 300),
        (2, 3),
        (400, 170),
        (900, 70),
        (150, 70),
    ],
)
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


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    tensors = [torch.scalar_tensor(x, dtype=torch.int64) for x in (*image.shape[:2], height, width)]
    pixels = torch.from_numpy(image).permute(2, 0, 1).float()
    found = resize_as_pillow(
        pixels, tensors[:2], tensors[2:], (torch.arange(height), torch.arange(width))
    )
    return found.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("newer", [True, False])
@pytest.mark.parametrize(
    ("height", "width"), [(40, 90), (40, 130), (99, 71), (100, 71), (120, 90), (150, 20), (30, 20)]
)
def test_the_order_of_rows_and_columns_is_pillows(
    height: int, width: int, newer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of (120, 80) pixels: (100, 71) and (99, 71) are either side of the newer versions' limit."""
    image = noise(120, 80)
    if newer and not pillow_shrinks_rows_first():
        pytest.skip("Pillow before 13")
    monkeypatch.setattr(resizing, "pillow_shrinks_rows_first", lambda: newer)
    rows_first = newer and 120 - height > max(0, 2 * (80 - width))
    first = (80, height) if rows_first else (width, 120)
    steps = Image.fromarray(image).resize(first, Image.Resampling.BILINEAR)
    expected = np.asarray(steps.resize((width, height), Image.Resampling.BILINEAR))
    assert np.array_equal(resize(image, height, width), expected)
    if newer:
        whole = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        assert np.array_equal(expected, np.asarray(whole))


class Pixels(nn.Module):
    """A program that does nothing but prepare an image."""

    OUTPUTS = ("pixels", "height")

    def __init__(self) -> None:
        super().__init__()
        resize = T.ResizeShortestEdge([64, 64], 160, "choice")
        self.prepare = Preprocessing([resize], "RGB", [0.0] * 3, [1.0] * 3, 32)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels, (height, _) = self.prepare(image)
        return pixels, height


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_files_give_the_pixels_of_evaluation(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"pixels{ENDINGS[form]}"
    export(Pixels(), Metadata("semantic", ("a",)), form, path)
    run = runner(path, form, Pixels.OUTPUTS)
    for size in ((400, 170), (900, 70), (97, 230), (50, 61), (150, 70)):
        image = noise(*size)
        expected = evaluated(T.ResizeShortestEdge([64, 64], 160, "choice"), image)
        found = run(image)
        height, width = expected.shape[:2]
        assert int(found["height"]) == height
        assert np.array_equal(found["pixels"][0, :, :height, :width].transpose(1, 2, 0), expected)


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
