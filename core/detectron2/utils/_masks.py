"""Masks as the visualizer needs them: from any form, and where to write on them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as mask_util


class GenericMask:
    """One instance's mask, from whichever form it comes in.

    Args:
        mask_or_polygons: (H, W) array of 0 and 1; or polygons, each [x0, y0, x1, y1, ...]; or COCO
            run lengths, compressed or not.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """

    def __init__(self, mask_or_polygons: Any, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._polygons: list[np.ndarray] | None = None
        self._mask: np.ndarray | None = None
        self._has_holes: bool | None = None
        self.is_polygonal = isinstance(mask_or_polygons, list)
        given = mask_or_polygons
        if isinstance(given, dict):
            if isinstance(given["counts"], list):
                given = mask_util.frPyObjects(given, *given["size"])
            given = mask_util.decode(given)
        if isinstance(given, torch.Tensor):
            given = given.cpu().numpy()
        if isinstance(given, list):
            self._polygons = [
                np.asarray(polygon, dtype=np.float64).reshape(-1) for polygon in given
            ]
            self._has_holes = False
            return
        assert isinstance(given, np.ndarray), (
            "A mask is an array, a list of polygons or a dict of run lengths, not "
            f"{type(given).__name__}."
        )
        assert given.shape == (height, width), (
            f"A mask of shape {given.shape} was given for an image of {height} x {width} pixels."
        )
        self._mask = given.astype(np.uint8)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) uint8 of 0 and 1."""
        if self._mask is None:
            self._mask = self.polygons_to_mask(self._polygons or [])
        return self._mask

    @property
    def polygons(self) -> list[np.ndarray]:
        """The given polygons, or the outlines of the mask's parts and holes; each is flat."""
        if self._polygons is None:
            self._polygons, self._has_holes = self.mask_to_polygons(self.mask)
        return self._polygons

    @property
    def has_holes(self) -> bool:
        """Whether the mask has holes, which its polygons then cover; False for given polygons."""
        if self._has_holes is None:
            self._has_holes = self.mask_to_polygons(self.mask)[1]
        return self._has_holes

    def mask_to_polygons(self, mask: np.ndarray) -> tuple[list[np.ndarray], bool]:
        """Outlines of a mask's parts and of its holes, and whether it has any."""
        from detectron2.data.datasets.cityscapes import mask_to_polygons

        parts = [np.asarray(x, dtype=np.float64) for x in mask_to_polygons(mask)]
        inside = self.polygons_to_mask(parts) != 0
        holes = mask_to_polygons(inside & (np.asarray(mask) == 0))
        return parts + [np.asarray(x, dtype=np.float64) for x in holes], bool(holes)

    def polygons_to_mask(self, polygons: Iterable[Any]) -> np.ndarray:
        """(H, W) uint8 of 0 and 1; polygons of less than three corners count as empty."""
        outlines = [np.asarray(polygon).tolist() for polygon in polygons if len(polygon) >= 6]
        if not outlines:
            return np.zeros((self.height, self.width), dtype=np.uint8)
        parts = mask_util.frPyObjects(outlines, self.height, self.width)
        return mask_util.decode(mask_util.merge(parts))

    def area(self) -> int:
        """Number of pixels."""
        return int(self.mask.sum())

    def bbox(self) -> np.ndarray:
        """The box around the mask: (x0, y0, x1, y1), zeros if it is empty."""
        rows, columns = np.nonzero(self.mask)
        if not len(rows):
            return np.zeros(4)
        corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return np.array(corners, dtype=np.float64)


def interior_point(mask: np.ndarray) -> tuple[float, float]:
    """(x, y) of a point deep inside the thickest part of a bool mask (H, W), not empty."""
    factor = max(1, -(-max(mask.shape) // 128))
    coarse = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).reduce(factor)) > 127
    left = coarse if coarse.any() else mask
    factor = factor if coarse.any() else 1
    while left.any():
        deepest = left
        padded = np.pad(left, 1)
        left = left & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    rows, columns = np.nonzero(deepest)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return (columns[nearest] + 0.5) * factor, (rows[nearest] + 0.5) * factor
