"""Images of samples as RGB, whatever their channels."""

import numpy as np
import pytest
import torch

from projects_ext.visualization.sources import as_rgb

COLOURS = np.array([[[255, 0, 0], [0, 128, 9]]], dtype=np.uint8)


@pytest.mark.parametrize(
    ("channels", "pixels"),
    [("RGB", COLOURS), ("BGR", COLOURS[:, :, ::-1]), ("RGB", COLOURS.astype(np.float32))],
)
def test_colours(channels: str, pixels: np.ndarray) -> None:
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    assert np.array_equal(as_rgb(image, channels), COLOURS)


def test_grey_and_deep() -> None:
    grey = torch.tensor([[[0, 7]]], dtype=torch.uint8)
    assert as_rgb(grey, "L").tolist() == [[[0, 0, 0], [7, 7, 7]]]
    deep = torch.tensor([[[1000, 2000, 3000]]], dtype=torch.int32)
    assert as_rgb(deep, "I").tolist() == [[[0] * 3, [128] * 3, [255] * 3]]
