"""The guard in front of the mask library: nothing malformed reaches it."""

import math
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_util

from projects_ext.data.coco.shapes import Fault, Mask, measure, run_lengths

SIZE = (20, 30)
SQUARE = [2, 3, 12, 3, 12, 13, 2, 13]


def kind(segmentation: Any) -> str:
    (found,) = measure([segmentation], [SIZE])
    return found.kind if isinstance(found, Fault) else type(found).__name__


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        ([SQUARE], "Mask"),
        ([[0, 0, 30, 0, 30, 20]], "Mask"),
        ([[-5, -5, 35, -5, 35, 25]], "Mask"),
        ([], "NoneType"),
        (None, "NoneType"),
        ([[]], "short"),
        ([SQUARE, [1, 2, 3, 4]], "short"),
        ([[1, 2, 3, 4, 5, 6, 7]], "short"),
        ([[[2, 3], [12, 3], [12, 13]]], "nested"),
        ([[2, 3], [12, 3], [12, 13]], "nested"),
        ([SQUARE, ["1", 2, 3, 4, 5, 6]], "not numbers"),
        ([[True, 2, 9, 4, 5, 6]], "not numbers"),
        ([[None, 2, 9, 4, 5, 6]], "not numbers"),
        ([[2, 2, 2, 2, 2, 2]], "flat"),
        ([[2, 2, 4, 4, 6, 6]], "flat"),
        ([[2, 3, 61, 3, 12, 13]], "outside"),
        ([[2, 3, 12, -21, 12, 13]], "outside"),
        ([[2, 3, math.nan, 3, 12, 13]], "outside"),
        ([[2, 3, math.inf, 3, 12, 13]], "outside"),
        ([[2, 3, 10**400, 3, 12, 13]], "outside"),
        (SQUARE, "malformed"),
        ("x", "malformed"),
        (True, "malformed"),
        ({}, "malformed"),
        ({"size": [20, 30]}, "malformed"),
        ({"size": [30, 20], "counts": [0, 600]}, "size"),
        ({"size": [20.0, 30], "counts": [0, 600]}, "size"),
        ({"size": {}, "counts": [0, 600]}, "size"),
        ({"size": [20, 30], "counts": [600]}, "flat"),
        ({"size": [20, 30], "counts": [0, 599]}, "runs"),
        ({"size": [20, 30], "counts": [0, 601]}, "runs"),
        ({"size": [20, 30], "counts": [-1, 601]}, "runs"),
        ({"size": [20, 30], "counts": [300, 0, 300]}, "runs"),
        ({"size": [20, 30], "counts": [True, 599]}, "runs"),
        ({"size": [20, 30], "counts": [300.0, 300]}, "runs"),
        ({"size": [20, 30], "counts": []}, "runs"),
        ({"size": [20, 30], "counts": ""}, "runs"),
        ({"size": [20, 30], "counts": None}, "runs"),
        ({"size": [20, 30], "counts": "ü"}, "runs"),
        ({"size": [20, 30], "counts": "0o"}, "runs"),
    ],
)
def test_each_mask_is_right_or_has_a_named_fault(segmentation: Any, expected: str) -> None:
    assert kind(segmentation) == expected


def test_every_wrong_polygon_of_a_mask_is_told() -> None:
    far, short, flat = [2, 3, 99, 3, 12, 13], [1, 2, 3, 4], [1, 1, 1, 1, 1, 1]
    (found,) = measure([[SQUARE, far, short, SQUARE, flat]], [SIZE])
    assert found == Fault("short", (1, 2, 4))


def test_in_an_image_of_unknown_size_only_numbers_are_checked() -> None:
    unknown = (math.nan, math.nan)
    good, bad = measure([[[2, 3, 900, 3, 12, 13]], [[2, 3, math.nan, 3, 1, 1]]], [unknown] * 2)
    assert isinstance(good, Mask)
    assert bad == Fault("outside", (0,))


def test_polygons_have_the_extent_and_area_of_their_outlines() -> None:
    (found,) = measure([[SQUARE, [20, 5, 25, 5, 25, 9]]], [SIZE])
    assert found == Mask((2, 3, 25, 13), 100 + 10)


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_are_read_as_the_mask_library_writes_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = (int(n) for n in random.integers(1, 300, 2))
    mask = random.random((height, width)) < random.random() ** 3
    mask[random.integers(height), random.integers(width)] = True
    if seed == 0:
        mask[:] = True
    encoded = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
    runs = run_lengths(encoded["counts"].decode(), height * width)
    assert runs is not None
    values = np.arange(len(runs)) % 2
    assert (mask == np.repeat(values, runs).reshape(width, height).T).all()
    segmentations = [
        {"size": [height, width], "counts": counts}
        for counts in (encoded["counts"].decode(), runs.tolist())
    ]
    x, y, box_width, box_height = mask_util.toBbox(encoded).tolist()
    expected = Mask((x, y, x + box_width, y + box_height), float(mask.sum()))
    assert measure(segmentations, [(height, width)] * 2) == [expected, expected]


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_cut_run_lengths_are_noticed(cut: int) -> None:
    mask = np.random.default_rng(0).random((40, 50)) < 0.3
    counts = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
    assert run_lengths(counts, 2000) is not None
    assert run_lengths(counts[:-cut], 2000) is None
    assert run_lengths(counts, 2001) is None
