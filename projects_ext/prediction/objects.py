"""What a detector found in an image, in little memory: each mask is kept as its own crop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask


class MaskCrop:
    """A mask without the empty rows and columns around it, eight pixels per byte.

    Args:
        x0, y0: the upper left corner of the crop in the image, in pixels.
        pixels: (h, w) bool; 0 x 0 if the mask is empty.
    """

    __slots__ = ("_bits", "shape", "x0", "y0")

    def __init__(self, x0: int, y0: int, pixels: np.ndarray) -> None:
        self.x0, self.y0 = x0, y0
        self.shape: tuple[int, int] = (pixels.shape[0], pixels.shape[1])
        self._bits = np.packbits(pixels)

    @property
    def pixels(self) -> np.ndarray:
        """The crop, (h, w) bool; unpacked at each call."""
        height, width = self.shape
        bits = np.unpackbits(self._bits, count=height * width)
        return bits.view(bool).reshape(height, width)

    @classmethod
    def of(cls, mask: np.ndarray, x0: int = 0, y0: int = 0) -> "MaskCrop":
        """The crop of a mask.

        Args:
            mask: (h, w) bool.
            x0, y0: where its upper left corner is in the image.
        """
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return cls(x0, y0, np.zeros((0, 0), dtype=bool))
        top, left = int(rows[0]), int(columns[0])
        return cls(x0 + left, y0 + top, mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1])

    def shifted(self, x: int, y: int) -> "MaskCrop":
        """The same mask, so many pixels further right and down."""
        moved = MaskCrop.__new__(MaskCrop)
        moved.x0, moved.y0, moved.shape, moved._bits = (
            self.x0 + x,
            self.y0 + y,
            self.shape,
            self._bits,
        )
        return moved

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.pixels))

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the crop in the image; the last row and column are y1 - 1, x1 - 1."""
        height, width = self.shape
        return self.x0, self.y0, self.x0 + width, self.y0 + height

    def within(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """The part of the mask in a rectangle of the image, as bool (y1 - y0, x1 - x0)."""
        part = np.zeros((max(y1 - y0, 0), max(x1 - x0, 0)), dtype=bool)
        own = self.corners
        left, top = max(x0, own[0]), max(y0, own[1])
        right, bottom = min(x1, own[2]), min(y1, own[3])
        if left < right and top < bottom:
            part[top - y0 : bottom - y0, left - x0 : right - x0] = self.pixels[
                top - self.y0 : bottom - self.y0, left - self.x0 : right - self.x0
            ]
        return part

    def run_lengths(self, height: int, width: int) -> dict[str, Any]:
        """The mask of the whole image as COCO's compressed run lengths, ready for json.

        Args:
            height, width: of the image, in pixels.
        """
        # Runs go down the columns of the image. In a frame of zeros above and below each column of
        # the crop, they begin and end where neighbours differ.
        rows, columns = self.shape
        framed = np.zeros((columns, rows + 2), dtype=np.int8)
        framed[:, 1:-1] = self.pixels.T
        steps = np.diff(framed, axis=1)
        offset = self.x0 * height + self.y0
        starts = np.stack(np.nonzero(steps == 1)).T @ (height, 1) + offset
        ends = np.stack(np.nonzero(steps == -1)).T @ (height, 1) + offset
        # A run that reaches the lower edge of the image continues at the top of the next column.
        continues = starts[1:] == ends[:-1]
        starts = starts[np.concatenate([[True], ~continues])[: len(starts)]]
        ends = ends[np.concatenate([~continues, [True]])[: len(ends)]]
        bounds = np.stack([starts, ends], axis=1).reshape(-1)
        counts = np.diff(bounds, prepend=0, append=height * width)
        if len(counts) > 1 and counts[-1] == 0:
            counts = counts[:-1]
        encoded = coco_mask.frPyObjects(
            {"counts": counts.tolist(), "size": [height, width]}, height, width
        )
        return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def union(masks: Sequence[MaskCrop]) -> MaskCrop:
    """All pixels that any of the masks has."""
    masks = [mask for mask in masks if all(mask.shape)] or list(masks[:1])
    corners = np.array([mask.corners for mask in masks])
    x0, y0 = (int(edge) for edge in corners[:, :2].min(axis=0))
    x1, y1 = (int(edge) for edge in corners[:, 2:].max(axis=0))
    pixels = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    for mask in masks:
        left, top, right, bottom = mask.corners
        pixels[top - y0 : bottom - y0, left - x0 : right - x0] |= mask.pixels
    return MaskCrop(x0, y0, pixels)


@dataclass(frozen=True)
class Objects:
    """N objects in an image.

    Attributes:
        height, width: of the image, in pixels.
        boxes: (N, 4) float of x0, y0, x1, y1 in pixels.
        scores: (N,) float.
        classes: (N,) int.
        masks: N of them; None if the model has none.
    """

    height: int
    width: int
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: list[MaskCrop] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, chosen: np.ndarray) -> "Objects":
        """Some of the objects: indices (n,) or bool (N,)."""
        indices = np.arange(len(self))[chosen]
        masks = None if self.masks is None else [self.masks[index] for index in indices]
        return Objects(
            self.height,
            self.width,
            self.boxes[indices],
            self.scores[indices],
            self.classes[indices],
            masks,
        )

    @classmethod
    def of(cls, found: Any, height: int, width: int) -> "Objects":
        """From Detectron2's ``Instances``, or from what an exported model's runtime returns.

        Args:
            found: with ``pred_boxes``, ``scores``, ``pred_classes`` and perhaps ``pred_masks``; or
                with ``boxes``, ``scores``, ``classes`` and ``masks`` of NumPy.
            height, width: of the image, in pixels.
        """
        if hasattr(found, "pred_boxes"):
            boxes, classes = found.pred_boxes.tensor, found.pred_classes
            masks = found.pred_masks if found.has("pred_masks") else None
        else:
            boxes, classes, masks = found.boxes, found.classes, found.masks
        crops = None if masks is None else [MaskCrop.of(np.asarray(mask)) for mask in masks]
        return cls(
            height,
            width,
            np.asarray(boxes, dtype=np.float64).reshape(-1, 4),
            np.asarray(found.scores, dtype=np.float64),
            np.asarray(classes, dtype=np.int64),
            crops,
        )


Found = Objects | np.ndarray
"""Objects, or a label map (H, W) of integers."""
