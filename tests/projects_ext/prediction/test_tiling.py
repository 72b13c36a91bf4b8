"""Tiles, and what is merged from them: exactly what one look at the whole image would give."""

import numpy as np
import pytest
from PIL import Image

from projects_ext.errors import UserError
from projects_ext.prediction.objects import Objects
from projects_ext.prediction.tiling import TiledPrediction, cut_into_tiles
from tests.projects_ext.prediction.scenes import ColourDetector, RedLabels, masks_of, scene


@pytest.mark.parametrize(("height", "width"), [(100, 333), (64, 64), (10, 65), (200, 1)])
@pytest.mark.parametrize("overlap", [0, 0.2, 0.5, 0.9])
def test_tiles_cover_the_image_and_overlap(height: int, width: int, overlap: float) -> None:
    tiles = cut_into_tiles(height, width, 64, overlap)
    seen = np.zeros((height, width), dtype=int)
    for x0, y0, x1, y1 in tiles:
        assert x1 - x0 == min(64, width)
        assert y1 - y0 == min(64, height)
        seen[y0:y1, x0:x1] += 1
    assert seen.shape == (height, width)
    assert seen.min() >= 1
    assert len(set(tiles)) == len(tiles)
    for starts in ({tile[0] for tile in tiles}, {tile[1] for tile in tiles}):
        steps = np.diff(sorted(starts))
        assert (steps <= 64 * (1 - overlap) + 1e-9).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("with_masks", [True, False])
def test_objects_smaller_than_the_overlap_are_exact(seed: int, with_masks: bool) -> None:
    image, truth = scene(300, 400, [30, 20, 24, 12, 8, 30, 16, 30], seed)
    tiled = TiledPrediction(ColourDetector(with_masks), 128, 0.5, reduced=False)
    found = tiled(image)
    whole = Objects.of(ColourDetector().predict([ColourDetector().prepare(image)])[0], 300, 400)
    assert isinstance(found, Objects)
    assert sorted(found.boxes.tolist()) == sorted(whole.boxes.tolist())
    assert sorted(found.scores.tolist(), reverse=True) == found.scores.tolist()
    if with_masks:
        expected = sorted(mask.tobytes() for mask in truth.values())
        assert sorted(mask.tobytes() for mask in masks_of(found)) == expected


@pytest.mark.parametrize("seed", range(6))
def test_objects_larger_than_a_tile_are_joined(seed: int) -> None:
    image, truth = scene(300, 400, [260, 250], seed)
    tiled = TiledPrediction(ColourDetector(), 96, 0.25, reduced=False)
    found = tiled(image)
    assert isinstance(found, Objects)
    expected = {mask.tobytes() for mask in truth.values() if connected(mask)}
    assert expected <= {mask.tobytes() for mask in masks_of(found)}


def connected(mask: np.ndarray) -> bool:
    """Whether its columns and rows have no gap, as of an object with another one across it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    solid = (np.count_nonzero(mask, axis=0)[columns[0] :] > 0).argmin() or len(columns)
    return bool((np.diff(rows) == 1).all() and (np.diff(columns) == 1).all() and solid)


def test_an_object_in_front_of_a_larger_one_of_its_class_survives() -> None:
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    pixels[40:160, 40:260] = (2, 255, 0)
    pixels[90:110, 140:160] = (4, 255, 0)  # in all of the middle tiles
    tiled = TiledPrediction(ColourDetector(), 128, 0.4)
    found = tiled(Image.fromarray(pixels))
    assert isinstance(found, Objects)
    assert [140, 90, 160, 110] in found.boxes.tolist()
    large = found.boxes[np.argmax(found.boxes[:, 2] - found.boxes[:, 0])]
    assert np.allclose(large, [40, 40, 260, 160], atol=4)
    assert len(found) == 2


def test_the_reduced_image_gives_large_objects_once() -> None:
    pixels = np.zeros((400, 400, 3), dtype=np.uint8)
    pixels[100:300, 100:300] = (2, 255, 0)
    pixels[10:20, 10:20] = (3, 255, 0)
    model = ColourDetector()
    found = TiledPrediction(model, 128, 0.25)(Image.fromarray(pixels))
    assert (128, 128) in model.sizes
    assert isinstance(found, Objects)
    assert len(found) == 2
    order = np.argsort(found.boxes[:, 0])
    assert found.boxes[order[0]].tolist() == [10, 10, 20, 20]
    assert np.allclose(found.boxes[order[1]], [100, 100, 300, 300], atol=6)
    mask = masks_of(found)[order[1]]
    agreed = mask & (pixels[:, :, 0] == 2)
    assert agreed.sum() > 0.9 * (mask | (pixels[:, :, 0] == 2)).sum()


def test_no_objects_at_all() -> None:
    found = TiledPrediction(ColourDetector(), 64)(Image.new("RGB", (200, 100)))
    assert isinstance(found, Objects)
    assert len(found) == 0
    assert (found.height, found.width) == (100, 200)


def test_an_image_smaller_than_a_tile_is_predicted_on_once() -> None:
    image, truth = scene(60, 50, [20, 15], seed=3)
    model = ColourDetector()
    found = TiledPrediction(model, 64)(image)
    assert model.sizes == [(60, 50)]
    assert len(found) == len(truth)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_label_maps_come_from_the_middles_of_tiles(batch_size: int) -> None:
    image, _ = scene(150, 210, [60, 90, 40], seed=1)
    labels = TiledPrediction(RedLabels(), 64, 0.2, batch_size=batch_size)(image)
    expected = np.asarray(image)[:, :, 0].copy()
    expected[[0, -1]] = expected[:, [0, -1]] = 19
    assert isinstance(labels, np.ndarray)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected)


@pytest.mark.parametrize(("size", "overlap"), [(0, 0.2), (-5, 0.2), (64, 1.0), (64, -0.1)])
def test_impossible_tiles(size: int, overlap: float) -> None:
    with pytest.raises(UserError, match="--tile|--overlap"):
        TiledPrediction(ColourDetector(), size, overlap)
