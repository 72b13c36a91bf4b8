"""What is drawn on images: in which colours, and where."""

import numpy as np
import pytest
from PIL import Image

from projects_ext.prediction.drawing import draw
from projects_ext.prediction.objects import MaskCrop, Objects

NAMES, COLOURS = ["red", "green"], [(255, 0, 0), (0, 255, 0)]


def objects(masks: bool = True, boxes: object = ((20, 30, 60, 80), (70, 40, 110, 90))) -> Objects:
    corners = np.array(boxes, dtype=float)
    pixels = np.ones((10, 10), dtype=bool)
    crops = [MaskCrop(int(box[0]) + 10, int(box[1]) + 10, pixels) for box in corners]
    return Objects(100, 120, corners, np.array([0.9, 0.8]), np.array([0, 1]), crops)


def test_boxes_and_masks_have_the_colours_of_their_classes() -> None:
    image = Image.new("RGB", (120, 100), (0, 0, 0))
    draw(image, objects(), NAMES, COLOURS)
    pixels = np.asarray(image)
    assert pixels[60, 20].tolist() == [255, 0, 0]  # left edge of the first box
    assert pixels[79, 40].tolist() == [255, 0, 0]
    assert pixels[89, 100].tolist() == [0, 255, 0]
    assert pixels[60, 15].tolist() == [0, 0, 0]  # outside of it
    assert pixels[70, 50].tolist() == [0, 0, 0]  # in the box, but not in the mask
    inside = pixels[45, 35].tolist()
    assert 100 < inside[0] < 130
    assert inside[1:] == [0, 0]
    assert pixels[40, 30].tolist() == [255, 0, 0]  # rim of the mask
    assert pixels[20:30, 20:60].sum() > 3 * 255  # the label above the box


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 40), (40, 3)])
def test_boxes_outside_of_tiny_images(width: int, height: int) -> None:
    boxes = ((-50, -50, 0, 0), (-5.5, -3, 200, 300))
    found = objects(boxes=boxes)
    image = Image.new("RGB", (width, height))
    draw(image, found, NAMES, COLOURS)
    assert image.size == (width, height)


def test_an_object_without_a_mask_pixel_and_none_at_all() -> None:
    found = objects()
    empty = Objects(100, 120, found.boxes, found.scores, found.classes,
                    [MaskCrop.of(np.zeros((5, 5), dtype=bool))] * 2)  # fmt: skip
    image = Image.new("RGB", (120, 100))
    draw(image, empty, NAMES, COLOURS)
    none = Image.new("RGB", (120, 100))
    draw(none, found[np.array([], dtype=int)], NAMES, COLOURS)
    assert not np.asarray(none).any()


def test_labels_do_not_cover_each_other() -> None:
    near = objects(boxes=((20, 50, 60, 80), (21, 51, 61, 81)))
    both = Image.new("RGB", (120, 100))
    draw(both, near, NAMES, COLOURS)
    white = (np.asarray(both) != 0).any(axis=2)
    assert white[82:100].any()  # one of them is below


def test_label_maps_are_coloured_and_explained() -> None:
    labels = np.zeros((900, 120), dtype=np.int64)
    labels[600:] = 1
    labels[800:] = 255  # no class
    image = Image.new("RGB", (120, 900), (0, 0, 200))
    draw(image, labels, NAMES, COLOURS)
    pixels = np.asarray(image).astype(int)
    assert np.allclose(pixels[590, 60], [128, 0, 100], atol=2)
    assert np.allclose(pixels[700, 60], [0, 128, 100], atol=2)
    assert pixels[850, 60].tolist() == [0, 0, 200]
    assert pixels[2, 2].tolist() == [255, 0, 0]  # the legend's first colour
