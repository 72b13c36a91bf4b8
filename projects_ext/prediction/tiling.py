"""Prediction on large images, tile by tile, in bounded memory."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from PIL import Image

from projects_ext.errors import UserError

from .merging import Candidates, merge
from .objects import Found, MaskCrop, Objects
from .pipeline import Ahead, groups

Tile = tuple[int, int, int, int]
"""x0, y0, x1, y1 in the image, in pixels."""


class Model(Protocol):
    """What predicts: :class:`projects_ext.Predictor` or the runtime of an exported model."""

    @property
    def kind(self) -> Any:
        """ "instances" or "semantic"."""

    @property
    def class_names(self) -> Any:
        """In order."""

    def prepare(self, image: Any) -> Any:
        """Make the network's input from an image, on any thread."""

    def predict(self, inputs: list[Any]) -> Any:
        """Run the network."""


def cut_into_tiles(height: int, width: int, size: int, overlap: float) -> list[Tile]:
    """Evenly spread tiles that cover an image, row by row.

    Args:
        height, width: of the image, in pixels.
        size: of a tile's edges, in pixels; an image that is smaller has one tile.
        overlap: of neighbours, at least, as a share of ``size``.
    """
    tiles = []
    for y in _starts(height, size, overlap):
        for x in _starts(width, size, overlap):
            tiles.append((x, y, min(x + size, width), min(y + size, height)))
    return tiles


def _starts(length: int, size: int, overlap: float) -> list[int]:
    room = max(length - size, 0)
    steps = math.ceil(room / max(math.floor(size * (1 - overlap)), 1))
    return [room * step // max(steps, 1) for step in range(steps + 1)]


def require_tiles(size: int, overlap: float) -> None:
    """Refuse tiles that cannot be.

    Args:
        size: of a tile's edges, in pixels.
        overlap: of neighbours, as a share of ``size``.

    Raises:
        UserError: with the option of the command line.
    """
    if size < 32:
        raise UserError(f"--tile {size}: a tile has at least 32 pixels per edge")
    if not 0 <= overlap <= 0.9:
        raise UserError(f"--overlap {overlap}: give a share of the tile from 0 to 0.9")


class TiledPrediction:
    """Predicts on an image tile by tile, and once on all of it at a reduced size.

    The reduced image is for objects that are too large for the tiles: what is smaller than their
    overlap, and so whole in one of them, is not taken from it.

    Args:
        model: of instances or label maps.
        size: of a tile's edges, in pixels.
        overlap: of neighbouring tiles, as a share of ``size``, from 0 to 0.9.
        batch_size: how many tiles the network gets at a time.
        reduced: whether the reduced image is used.
        show: is given an iterator and its length, and passes on its items: a progress bar.

    Raises:
        UserError: a size or an overlap that cannot be.
    """

    def __init__(
        self,
        model: Model,
        size: int,
        overlap: float = 0.2,
        *,
        batch_size: int = 1,
        reduced: bool = True,
        show: Callable[[Iterator[Any], int], Iterable[Any]] = lambda items, count: items,
    ) -> None:
        require_tiles(size, overlap)
        self.model, self.size, self.overlap = model, size, overlap
        self.batch_size, self.reduced, self._show = batch_size, reduced, show

    def __call__(self, image: Image.Image) -> Found:
        """Predict.

        Args:
            image: of any size and mode that the model takes.

        Returns:
            objects, or a label map (H, W).
        """
        tiles = cut_into_tiles(image.height, image.width, self.size, self.overlap)
        if self.model.kind == "semantic":
            return self._label_map(image, tiles)
        return self._objects(image, tiles)

    def _predictions(self, image: Image.Image, tiles: list[Tile]) -> Iterator[tuple[Tile, Any]]:
        """Each tile with the model's result; the next ones are prepared meanwhile."""

        def prepared() -> Iterator[tuple[Tile, Any]]:
            for tile in tiles:
                yield tile, self.model.prepare(image.crop(tile))

        image.load()  # here, not in the thread: others may read it
        with Ahead(prepared(), 2 * self.batch_size) as source:
            for group in groups(self._show(iter(source), len(tiles)), self.batch_size):
                found = self.model.predict([given for _, given in group])
                yield from ((tile, one) for (tile, _), one in zip(group, found, strict=True))

    def _objects(self, image: Image.Image, tiles: list[Tile]) -> Objects:
        parts, origins = [], []
        for tile, found in self._predictions(image, tiles):
            x0, y0, x1, y1 = tile
            parts.append(_moved(Objects.of(found, y1 - y0, x1 - x0), x0, y0))
            origins.append(tile)
        coarse = [False] * len(parts)
        if len(tiles) > 1 and self.reduced:
            parts.append(self._large_objects(image))
            origins.append((0, 0, image.width, image.height))
            coarse.append(True)
        counts = [len(part) for part in parts]
        candidates = Candidates(
            _concatenated(parts, image.height, image.width),
            np.repeat(np.array(origins, dtype=np.float64), counts, axis=0),
            np.repeat(coarse, counts),
        )
        return merge(candidates)

    def _large_objects(self, image: Image.Image) -> Objects:
        """What the image shows at a tile's size, as far as tiles may cut it."""
        scale = min(1.0, self.size / max(image.size))
        width, height = (max(1, round(edge * scale)) for edge in image.size)
        small = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        found = Objects.of(self.model.predict([self.model.prepare(small)])[0], height, width)
        factors = np.array([image.width / width, image.height / height])
        edges = (found.boxes[:, 2:] - found.boxes[:, :2]) * factors
        return _enlarged(found[edges.max(axis=1, initial=0) >= self.overlap * self.size], image)

    def _label_map(self, image: Image.Image, tiles: list[Tile]) -> np.ndarray:
        """Each pixel from the tile in whose middle it lies most: half of each overlap."""
        kind = np.uint8 if len(self.model.class_names) < 256 else np.int32
        labels = np.zeros((image.height, image.width), dtype=kind)
        columns = _halved(sorted({(tile[0], tile[2]) for tile in tiles}))
        rows = _halved(sorted({(tile[1], tile[3]) for tile in tiles}))
        for (x0, y0, _, _), found in self._predictions(image, tiles):
            (left, right), (top, bottom) = columns[x0], rows[y0]
            part = np.asarray(found)[top - y0 : bottom - y0, left - x0 : right - x0]
            labels[top:bottom, left:right] = part
        return labels


def _halved(spans: list[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """For spans that overlap, by their start: each cut off in the middle of the overlaps."""
    middles = [(first[1] + second[0]) // 2 for first, second in pairwise(spans)]
    starts, ends = [spans[0][0], *middles], [*middles, spans[-1][1]]
    return {span[0]: (s, e) for span, s, e in zip(spans, starts, ends, strict=True)}


def _moved(objects: Objects, x: int, y: int) -> Objects:
    masks = objects.masks and [mask.shifted(x, y) for mask in objects.masks]
    boxes = objects.boxes + np.array([x, y, x, y])
    return Objects(objects.height, objects.width, boxes, objects.scores, objects.classes, masks)


def _enlarged(objects: Objects, image: Image.Image) -> Objects:
    """Objects of a reduced image at the size of the image itself."""
    factors = np.array([image.width / objects.width, image.height / objects.height])
    boxes = objects.boxes * np.tile(factors, 2)
    masks = objects.masks and [_enlarged_mask(mask, *factors) for mask in objects.masks]
    return Objects(image.height, image.width, boxes, objects.scores, objects.classes, masks)


def _enlarged_mask(mask: MaskCrop, x_factor: float, y_factor: float) -> MaskCrop:
    if not all(mask.shape):
        return mask
    x0, y0, x1, y1 = mask.corners
    left, right = round(x0 * x_factor), round(x1 * x_factor)
    top, bottom = round(y0 * y_factor), round(y1 * y_factor)
    # A frame of zeros, so that the rim is as smooth at the edges of the crop as elsewhere.
    levels = Image.fromarray(np.pad(mask.pixels, 1).astype(np.uint8) * 255)
    source = (1, 1, levels.width - 1, levels.height - 1)
    size = (max(right - left, 1), max(bottom - top, 1))
    large = levels.resize(size, Image.Resampling.BILINEAR, box=source)
    return MaskCrop(left, top, np.asarray(large) >= 128)


def _concatenated(parts: list[Objects], height: int, width: int) -> Objects:
    with_masks = all(part.masks is not None for part in parts)
    return Objects(
        height,
        width,
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.classes for part in parts]),
        [mask for part in parts for mask in part.masks or ()] if with_masks else None,
    )
