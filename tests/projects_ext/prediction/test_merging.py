"""Detections of two tiles, 0 to 120 and 80 to 200, in an image of 200 x 100 pixels (w x h)."""

import numpy as np
import pytest

from projects_ext.prediction.merging import Candidates, merge
from projects_ext.prediction.objects import MaskCrop, Objects

LEFT, RIGHT, ALL = (0, 0, 120, 100), (80, 0, 200, 100), (0, 0, 200, 100)
Detection = tuple[tuple[int, int, int, int], float, int, tuple[int, int, int, int]]
"""Box, score, class, tile."""


def merged(
    *given: Detection, masks: list[np.ndarray] | None = None
) -> list[tuple[list, float, int]]:
    """Boxes, scores and classes after merging; a detection in ``ALL`` is a coarse one."""
    boxes, scores, classes, tiles = (list(part) for part in zip(*given, strict=True))
    crops = None if masks is None else [MaskCrop.of(mask) for mask in masks]
    objects = Objects(
        100, 200, np.array(boxes, dtype=float), np.array(scores), np.array(classes), crops
    )
    found = merge(
        Candidates(objects, np.array(tiles, dtype=float), np.array([t == ALL for t in tiles]))
    )
    columns = found.boxes.tolist(), found.scores.tolist(), found.classes.tolist()
    return list(zip(*columns, strict=True))


def test_a_whole_object_wins_over_a_part_of_a_higher_score() -> None:
    whole, part = ((30, 20, 110, 50), 0.6, 0, LEFT), ((80, 20, 110, 50), 0.95, 0, RIGHT)
    for order in ([whole, part], [part, whole]):
        assert merged(*order) == [([30, 20, 110, 50], 0.6, 0)]


def test_of_two_whole_ones_the_better_wins() -> None:
    found = merged(((90, 20, 110, 50), 0.6, 0, LEFT), ((91, 21, 110, 50), 0.8, 0, RIGHT))
    assert found == [([91, 21, 110, 50], 0.8, 0)]


def test_tiles_win_over_the_reduced_image() -> None:
    found = merged(((30, 20, 70, 50), 0.6, 0, LEFT), ((28, 18, 73, 52), 0.9, 0, ALL))
    assert found == [([30, 20, 70, 50], 0.6, 0)]
    found = merged(
        ((30, 20, 120, 50), 0.9, 0, LEFT), ((80, 20, 160, 50), 0.9, 0, RIGHT),
        ((29, 19, 161, 51), 0.6, 0, ALL),
    )  # fmt: skip
    assert found == [([29, 19, 161, 51], 0.6, 0)]


def test_parts_are_put_together() -> None:
    found = merged(((30, 20, 120, 50), 0.7, 1, LEFT), ((80, 20, 160, 52), 0.9, 1, RIGHT))
    assert found == [([30, 20, 160, 52], 0.9, 1)]


def test_masks_decide_whether_parts_belong_together() -> None:
    """Boxes of diagonal objects agree less than the objects, and those of others more."""
    rows, columns = np.mgrid[:100, :200]
    diagonal = np.abs(columns - rows - 50) < 6
    left, right = diagonal & (columns < 120), diagonal & (columns >= 80)
    boxes = ((45, 0, 120, 75), 0.7, 1, LEFT), ((80, 25, 155, 100), 0.9, 1, RIGHT)
    (found,) = merged(*boxes, masks=[left, right])
    assert found == ([45, 0, 155, 100], 0.9, 1)
    other = np.abs(columns - (150 - rows)) < 6
    crossing = ((50, 0, 120, 100), 0.7, 1, LEFT), ((80, 0, 150, 100), 0.9, 1, RIGHT)
    assert len(merged(*crossing, masks=[diagonal & (columns < 120), other & (columns >= 80)])) == 2


def test_a_small_object_in_front_of_a_larger_one_of_its_class() -> None:
    large, small = ((10, 10, 114, 90), 0.9, 0, LEFT), ((90, 40, 110, 60), 0.8, 0, RIGHT)
    assert len(merged(large, small)) == 2


def test_classes_stay_apart_unless_a_part_is_taken_for_another_class() -> None:
    first, second = ((86, 20, 114, 50), 0.9, 0, LEFT), ((86, 20, 114, 50), 0.8, 1, RIGHT)
    assert len(merged(first, second)) == 2
    whole = ((86, 20, 130, 50), 0.9, 0, RIGHT)
    assert merged(whole, ((86, 20, 120, 50), 0.5, 1, LEFT)) == [([86, 20, 130, 50], 0.9, 0)]
    assert len(merged(whole, ((86, 20, 120, 50), 0.95, 1, LEFT))) == 2


def test_detections_of_one_tile_are_left_alone() -> None:
    assert len(merged(((10, 10, 50, 50), 0.9, 0, LEFT), ((11, 10, 50, 50), 0.8, 0, LEFT))) == 2


@pytest.mark.parametrize("count", [1, 3000])
def test_many_objects_far_apart_and_their_copies(count: int) -> None:
    random = np.random.RandomState(0)
    corner = random.permutation(100 * 100)[:count]
    corners = np.stack([corner % 100, corner // 100], axis=1) * 10.0
    boxes = np.concatenate([corners, corners + 8], axis=1)
    twice = np.concatenate([boxes, boxes])
    objects = Objects(1000, 1000, twice, np.linspace(0.9, 0.1, 2 * count),
                      np.zeros(2 * count, dtype=int))  # fmt: skip
    tiles = np.repeat([[0.0, 0, 1000, 1000], [-1, -1, 1001, 1001]], count, axis=0)
    found = merge(Candidates(objects, tiles, np.zeros(2 * count, dtype=bool)))
    assert sorted(found.boxes.tolist()) == sorted(boxes.tolist())
