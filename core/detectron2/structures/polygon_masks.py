"""Masks as polygons, and how polygons become pixels.

A polygon is a flat array x0, y0, x1, y1, ... in pixels; an instance is a list of polygons (its
visible parts); an image is a list of instances. Rasterising follows pycocotools, hence COCO.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
import torch

from .boxes import Boxes

# Boxes thinner than this many pixels are treated as that thick: it bounds the enlargement.
SMALLEST_BOX_SIDE = 0.1


def polygon_area(x: np.ndarray, y: np.ndarray) -> float:
    """Area in square pixels of a simple polygon with corners ``x``, ``y`` (shoelace formula)."""
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    return 0.5 * np.abs(np.dot(x, next_y) - np.dot(y, next_x))


def polygons_to_bitmask(polygons: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """The union of polygons as pixels.

    Args:
        polygons: flat float arrays x0, y0, x1, y1, ...; none at all gives an empty mask.
        height: of the mask in pixels.
        width: of the mask in pixels.

    Returns:
        bool array of shape (height, width).
    """
    if len(polygons) == 0:
        return np.zeros((height, width), dtype=bool)
    runs = coco_mask.frPyObjects([np.asarray(p).tolist() for p in polygons], height, width)
    return coco_mask.decode(coco_mask.merge(runs)).astype(bool)


def rasterize_polygons_within_box(
    polygons: Sequence[np.ndarray], box: np.ndarray, mask_size: int
) -> torch.Tensor:
    """The part of an instance inside a box, stretched to a square.

    Args:
        polygons: the instance in image pixels.
        box: four numbers, left, top, right, bottom in image pixels.
        mask_size: side of the result.

    Returns:
        bool tensor of shape (mask_size, mask_size).
    """
    left, top, right, bottom = box
    # The scale is rounded in the box's own precision (float32 when it comes from a tensor): one
    # rounding more or less can flip a pixel on an edge.
    scale_x = mask_size / max(right - left, SMALLEST_BOX_SIDE)
    scale_y = mask_size / max(bottom - top, SMALLEST_BOX_SIDE)
    in_box_frame = []
    for polygon in polygons:
        points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
        moved = np.stack([(points[:, 0] - left) * scale_x, (points[:, 1] - top) * scale_y], axis=1)
        in_box_frame.append(moved.reshape(-1))
    return torch.from_numpy(polygons_to_bitmask(in_box_frame, mask_size, mask_size))


class PolygonMasks:
    """N masks as polygons; always on the CPU, whatever device the rest of the model uses.

    Attributes:
        polygons: N lists of float64 arrays.
    """

    def __init__(self, polygons: Sequence[Sequence[torch.Tensor | np.ndarray]]) -> None:
        """Copies nothing that is already a float64 array.

        Args:
            polygons: one list of polygons an instance (an empty list is an instance without any
                visible part); a polygon is an array, tensor or list of an even number of
                coordinates, at least six.

        Raises:
            ValueError: the nesting or a polygon is not like that.
        """
        if not isinstance(polygons, (list, tuple)):
            raise ValueError(
                "PolygonMasks expects a list of instances, each a list of polygons, but got a "
                f"{type(polygons).__name__}"
            )
        self.polygons: list[list[np.ndarray]] = [_checked_instance(parts) for parts in polygons]

    def to(self, *args: Any, **kwargs: Any) -> "PolygonMasks":
        """The object itself: polygons have no device."""
        return self

    @property
    def device(self) -> torch.device:
        """Always the CPU."""
        return torch.device("cpu")

    def get_bounding_boxes(self) -> Boxes:
        """The tightest box around each instance's corners; all zeros for one without polygons."""
        corners = torch.zeros(len(self), 4, dtype=torch.float32)
        for row, parts in zip(corners, self.polygons, strict=True):
            if parts:
                points = torch.from_numpy(np.concatenate(parts)).to(torch.float32).reshape(-1, 2)
                row[:2], row[2:] = points.amin(dim=0), points.amax(dim=0)
        return Boxes(corners)

    def nonempty(self) -> torch.Tensor:
        """Which instances have polygons: bool, shape (N,)."""
        return torch.tensor([bool(parts) for parts in self.polygons], dtype=torch.bool)

    def area(self) -> torch.Tensor:
        """Sum of each instance's polygon areas in square pixels: float64, shape (N,)."""
        areas = [sum(polygon_area(p[0::2], p[1::2]) for p in parts) for parts in self.polygons]
        return torch.tensor(areas, dtype=torch.float64)

    def crop_and_resize(self, boxes: torch.Tensor, mask_size: int) -> torch.Tensor:
        """Each instance inside its box, rasterised at ``mask_size``: a mask head's targets.

        Args:
            boxes: shape (N, 4), in image pixels.
            mask_size: side of the result.

        Returns:
            bool tensor of shape (N, mask_size, mask_size) on the device of ``boxes``.

        Raises:
            ValueError: not as many boxes as masks.
        """
        if len(boxes) != len(self):
            raise ValueError(f"{len(self)} masks cannot be cropped with {len(boxes)} boxes")
        crops = torch.zeros(len(self), mask_size, mask_size, dtype=torch.bool)
        # One copy from the device for all boxes.
        rows = boxes.detach().cpu().numpy()
        for crop, parts, box in zip(crops, self.polygons, rows, strict=True):
            crop.copy_(rasterize_polygons_within_box(parts, box, mask_size))
        return crops.to(device=boxes.device)

    @staticmethod
    def cat(polymasks_list: Sequence["PolygonMasks"]) -> "PolygonMasks":
        """The instances of several objects one after the other.

        Raises:
            ValueError: the list is empty.
            TypeError: an element is not a PolygonMasks object.
        """
        if len(polymasks_list) == 0:
            raise ValueError("PolygonMasks.cat needs at least one PolygonMasks object")
        joined: list[Sequence[np.ndarray]] = []
        for masks in polymasks_list:
            if not isinstance(masks, PolygonMasks):
                raise TypeError(f"PolygonMasks.cat cannot join a {type(masks).__name__}")
            joined += masks.polygons
        return PolygonMasks(joined)

    def __getitem__(self, item: Any) -> "PolygonMasks":
        """Selects instances by an int (one, in a list), slice, list, bool mask or index tensor.

        Raises:
            ValueError: a tensor or array that is neither bool nor integer, or not flat.
        """
        if isinstance(item, slice):
            return PolygonMasks(self.polygons[item])
        return PolygonMasks([self.polygons[index] for index in self._positions(item)])

    def _positions(self, item: Any) -> list[int]:
        """The positions that an int, list, mask or index tensor stands for."""
        if isinstance(item, int):
            return [item]
        index = torch.as_tensor(item)
        if index.dtype == torch.bool:
            if index.shape != (len(self),):
                raise ValueError(f"a mask of shape {tuple(index.shape)} cannot select {len(self)}")
            index = index.nonzero().flatten()
        elif index.numel() == 0:
            return []
        elif index.dtype not in (torch.int32, torch.int64) or index.dim() > 1:
            raise ValueError(
                "PolygonMasks can be indexed with a flat bool mask or integer tensor, not with "
                f"{index.dtype} of shape {tuple(index.shape)}"
            )
        return index.reshape(-1).tolist()

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        """Yields each instance's list of polygons."""
        return iter(self.polygons)

    def __len__(self) -> int:
        return len(self.polygons)

    def __repr__(self) -> str:
        return f"PolygonMasks(num_instances={len(self)})"


def _checked_instance(parts: Any) -> list[np.ndarray]:
    """An instance's polygons as float64 arrays."""
    if not isinstance(parts, list):
        raise ValueError(
            f"an instance of PolygonMasks is a list of polygons, but got a {type(parts).__name__}"
        )
    return [_checked_polygon(polygon) for polygon in parts]


def _checked_polygon(polygon: Any) -> np.ndarray:
    """A polygon as a flat float64 array."""
    values = polygon.detach().cpu().numpy() if isinstance(polygon, torch.Tensor) else polygon
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < 6 or array.size % 2:
        raise ValueError(
            f"a polygon is a flat list of at least three x, y pairs, but got shape {array.shape}"
        )
    return array
