"""The resize in integers gives, bit by bit, what OpenCV gives."""

import cv2
import numpy as np
import pytest
from PIL import Image

from detectron2.data import transforms as T
from projects_ext.data.opencv_resize import (
    OpenCVResizeShortestEdge,
    OpenCVResizeTransform,
    resize_bilinear,
)

PAIRS = [
    ((480, 640), (800, 1067)),
    ((333, 500), (888, 1333)),
    ((640, 427), (1199, 800)),
    ((50, 60), (33, 47)),
    ((64, 96), (32, 48)),  # exactly half, which OpenCV averages
    ((66, 99), (22, 33)),
    ((37, 53), (37, 80)),
    ((37, 53), (90, 53)),
    ((7, 5), (3, 11)),
    ((1, 9), (4, 30)),
    ((9, 1), (2, 3)),
]


def pixels(*shape: int) -> np.ndarray:
    return np.random.RandomState(sum(shape)).randint(0, 256, shape).astype(np.uint8)


def opencv(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_images_are_those_of_opencv(old: tuple[int, int], new: tuple[int, int]) -> None:
    image = pixels(*old, 3)
    np.testing.assert_array_equal(resize_bilinear(image, *new), opencv(image, *new))


def test_any_sizes() -> None:
    random = np.random.RandomState(0)
    for _ in range(150):
        height, width, new_height, new_width = random.randint(1, 130, 4).tolist()
        image = pixels(height, width, 3)
        np.testing.assert_array_equal(
            resize_bilinear(image, new_height, new_width), opencv(image, new_height, new_width)
        )


@pytest.mark.parametrize("shape", [(30, 41), (30, 41, 4)])
def test_grey_and_more_channels(shape: tuple[int, ...]) -> None:
    image = pixels(*shape)
    np.testing.assert_array_equal(resize_bilinear(image, 52, 29), opencv(image, 52, 29))


def test_pillow_gives_other_pixels() -> None:
    image = pixels(48, 64, 3)
    pillow = T.ResizeTransform(48, 64, 30, 40).apply_image(image)
    assert np.abs(pillow.astype(int) - resize_bilinear(image, 30, 40)).max() > 10


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_label_maps_are_those_of_opencv(old: tuple[int, int], new: tuple[int, int]) -> None:
    labels = pixels(*old)
    found = OpenCVResizeTransform(*old, *new).apply_segmentation(labels)
    expected = cv2.resize(labels, new[::-1], interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(found, expected)


def test_floating_point_images() -> None:
    image = pixels(20, 30, 3).astype(np.float32)
    found = OpenCVResizeTransform(20, 30, 33, 41).apply_image(image)
    np.testing.assert_allclose(found, opencv(image, 33, 41), rtol=0, atol=1e-2)


def reference_size(height: int, width: int, short: int, long: int) -> tuple[int, int]:
    """As OpenMMLab computes it: both edges by one factor, halves rounded up."""
    factor = min(long / max(height, width), short / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def test_sizes_are_those_of_the_reference() -> None:
    random = np.random.RandomState(1)
    resize = OpenCVResizeShortestEdge(800, 1333)
    for _ in range(300):
        height, width = random.randint(150, 700, 2).tolist()
        transform = resize.get_transform(np.empty((height, width, 3), dtype=np.uint8))
        assert isinstance(transform, OpenCVResizeTransform)
        found = transform.new_h, transform.new_w
        assert found == reference_size(height, width, 800, 1333)


def test_augmentation_resizes_image_boxes_and_labels() -> None:
    image, labels = pixels(30, 40, 3), pixels(30, 40)
    given = T.AugInput(image, boxes=np.array([[4.0, 6.0, 20.0, 15.0]]), sem_seg=labels)
    OpenCVResizeShortestEdge([45], 100, "choice")(given)
    np.testing.assert_array_equal(given.image, opencv(image, 45, 60))
    np.testing.assert_allclose(given.boxes, [[6.0, 9.0, 30.0, 22.5]])
    assert given.sem_seg.shape == (45, 60)
    assert set(np.unique(given.sem_seg)) <= set(np.unique(labels))


def test_the_right_size_is_left_alone() -> None:
    image = pixels(30, 40, 3)
    assert isinstance(OpenCVResizeShortestEdge(30).get_transform(image), T.NoOpTransform)
    assert isinstance(OpenCVResizeShortestEdge(0).get_transform(image), T.NoOpTransform)


def test_inverse() -> None:
    transform = OpenCVResizeTransform(30, 40, 45, 60)
    image = pixels(45, 60, 3)
    np.testing.assert_array_equal(transform.inverse().apply_image(image), opencv(image, 30, 40))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"30 x 40 pixels .* the image has 31 x 40"):
        OpenCVResizeTransform(30, 40, 45, 60).apply_image(pixels(31, 40, 3))


def test_nearest_is_asked_for_by_pillows_name() -> None:
    image = pixels(6, 8, 3)
    found = OpenCVResizeTransform(6, 8, 3, 4).apply_image(image, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(found, image[::2, ::2])
