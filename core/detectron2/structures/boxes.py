"""Axis-aligned boxes: their formats, a container for N of them, and their overlaps."""

import struct
from enum import IntEnum, unique
from typing import Any, TypeVar

import numpy as np
import torch

__all__ = [
    "BoxMode",
    "Boxes",
    "matched_boxlist_iou",
    "matched_pairwise_iou",
    "pairwise_intersection",
    "pairwise_ioa",
    "pairwise_iou",
    "pairwise_point_box_distance",
]

RawBox = TypeVar("RawBox", list, tuple, np.ndarray, torch.Tensor)


FOUR_FLOATS = struct.Struct("4f")


def in_float32(*numbers: float) -> tuple[float, ...]:
    """Four numbers, each rounded to float32."""
    return FOUR_FLOATS.unpack(FOUR_FLOATS.pack(*numbers))


@unique
class BoxMode(IntEnum):
    """The ways to write a box as four numbers.

    The numbers are written into dataset dicts and JSON files, so they never change. The relative
    modes (fractions of the image size) and the rotated mode exist as names only: converting from or
    to them is an error.
    """

    XYXY_ABS = 0  # left, top, right, bottom in pixels
    XYWH_ABS = 1  # left, top, width, height in pixels (COCO)
    XYXY_REL = 2
    XYWH_REL = 3
    XYWHA_ABS = 4

    @staticmethod
    def convert(box: RawBox, from_mode: "BoxMode", to_mode: "BoxMode") -> RawBox:
        """Rewrites boxes from one mode into another.

        Args:
            box: four numbers in a list or tuple, or an array or tensor of shape (4,) or (N, 4).
            from_mode: how ``box`` is written.
            to_mode: how the result shall be written.

        Returns:
            The boxes as the same type as ``box``; ``box`` itself (not a copy) if both modes are
            equal, else a new object. ``box`` is never modified.

        Raises:
            ValueError: ``box`` does not hold four numbers a box.
            NotImplementedError: a relative or rotated mode is involved.
        """
        source, target = BoxMode(from_mode), BoxMode(to_mode)
        if source == target:
            return box
        if (source, target) not in CONVERSIONS:
            raise NotImplementedError(
                f"cannot convert boxes from {source.name} to {target.name}: only XYXY_ABS and "
                "XYWH_ABS are supported, XYWHA_ABS to XYXY_ABS, and XYWH_ABS to XYWHA_ABS"
            )
        if isinstance(box, (list, tuple)) and np.ndim(box) != 1:
            raise ValueError(f"BoxMode.convert takes one box as a list, not {box}")
        if BoxMode.XYWHA_ABS in (source, target):
            return _like(box, _converted_angle(torch.as_tensor(box), target))
        sign = -1 if target == BoxMode.XYWH_ABS else 1
        if isinstance(box, (list, tuple)) and [type(x) for x in box] == [float] * 4:
            # One annotation, of a million in a data set: rounded as a tensor would be, but faster.
            x, y, right, bottom = in_float32(*box)
            return type(box)(in_float32(x, y, right + sign * x, bottom + sign * y))
        corners = torch.as_tensor(box)
        if corners.dim() not in (1, 2) or corners.shape[-1] != 4:
            raise ValueError(
                "BoxMode.convert expects four numbers, or an array or tensor of shape (N, 4), "
                f"but got shape {tuple(corners.shape)}"
            )
        first, second = corners[..., :2], corners[..., 2:]
        result = torch.cat([first, second + sign * first], dim=-1)

        return _like(box, result)


CONVERSIONS = {
    (BoxMode.XYXY_ABS, BoxMode.XYWH_ABS), (BoxMode.XYWH_ABS, BoxMode.XYXY_ABS),
    (BoxMode.XYWHA_ABS, BoxMode.XYXY_ABS), (BoxMode.XYWH_ABS, BoxMode.XYWHA_ABS),
}  # fmt: skip


def _like(box: RawBox, result: torch.Tensor) -> RawBox:
    """The result as the type of ``box``."""
    if isinstance(box, torch.Tensor):
        return result
    if isinstance(box, np.ndarray):
        return result.numpy()
    return type(box)(result.tolist())


def _converted_angle(boxes: torch.Tensor, target: BoxMode) -> torch.Tensor:
    """Boxes (..., 5) with an angle as the boxes around them, or boxes (..., 4) with angle 0."""
    wanted = 5 if target == BoxMode.XYXY_ABS else 4
    assert boxes.shape[-1] == wanted, f"A box of this mode has {wanted} numbers"
    exact = boxes.double()
    if target == BoxMode.XYWHA_ABS:
        corner, size = exact[..., :2], exact[..., 2:]
        angle = torch.zeros_like(exact[..., :1])
        return torch.cat([corner + size / 2, size, angle], dim=-1).to(boxes.dtype)
    center, size, angle = exact[..., :2], exact[..., 2:4], exact[..., 4:].deg2rad()
    half = (angle.cos().abs() * size + angle.sin().abs() * size.flip(-1)) / 2
    return torch.cat([center - half, center + half], dim=-1).to(boxes.dtype)


class Boxes:
    """N boxes in one tensor, with the operations a detector needs.

    Attributes:
        tensor: float32, shape (N, 4): left, top, right, bottom in pixels. Pixel (i, j) covers the
            square from (i, j) to (i + 1, j + 1), so a width is simply right - left.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        """Wraps ``tensor``, shape (N, 4), without a copy if it is float32.

        Anything ``torch.as_tensor`` understands is accepted, and anything without elements stands
        for zero boxes.

        Raises:
            ValueError: the shape is not (N, 4).
        """
        rows = torch.as_tensor(tensor).to(torch.float32)
        if rows.numel() == 0:
            rows = rows.reshape(-1, 4)
        if rows.dim() != 2 or rows.shape[1] != 4:
            raise ValueError(f"Boxes expects a tensor of shape (N, 4), got {list(rows.shape)}")
        self.tensor = rows

    def clone(self) -> "Boxes":
        """A copy with memory of its own."""
        return Boxes(self.tensor.clone())

    def to(self, device: torch.device, non_blocking: bool = False) -> "Boxes":
        """The boxes on another device."""
        return Boxes(self.tensor.to(device=device, non_blocking=non_blocking))

    @property
    def device(self) -> torch.device:
        """Where the tensor lives."""
        return self.tensor.device

    def area(self) -> torch.Tensor:
        """Width times height of each box in square pixels, shape (N,)."""
        width, height = _sizes(self.tensor)
        return width * height

    def get_centers(self) -> torch.Tensor:
        """The (x, y) middle of each box, shape (N, 2)."""
        return (self.tensor[:, :2] + self.tensor[:, 2:]) / 2

    def clip(self, box_size: tuple[int, int]) -> None:
        """Moves every corner into the image, in place for this object.

        ``self.tensor`` is replaced, not overwritten: whoever else holds the old tensor keeps it.

        Args:
            box_size: (height, width) of the image.

        Raises:
            ValueError: a coordinate is infinite or not a number.
        """
        if not bool(torch.isfinite(self.tensor).all()):
            raise ValueError("cannot clip boxes: a coordinate is infinite or not a number")
        height, width = box_size
        # Python numbers, not a limits tensor: no copy from host to device.
        left, top, right, bottom = self.tensor.unbind(dim=1)
        xs, ys = torch.stack([left, right], dim=1), torch.stack([top, bottom], dim=1)
        xs, ys = xs.clamp(min=0, max=width), ys.clamp(min=0, max=height)
        self.tensor = torch.stack([xs, ys], dim=2).flatten(1)

    def nonempty(self, threshold: float = 0.0) -> torch.Tensor:
        """Which boxes are wider and higher than ``threshold`` pixels: bool, shape (N,)."""
        width, height = _sizes(self.tensor)
        return torch.minimum(width, height) > threshold

    def inside_box(self, box_size: tuple[int, int], boundary_threshold: int = 0) -> torch.Tensor:
        """Which boxes lie within the image, ``boundary_threshold`` pixels of excess allowed.

        Args:
            box_size: (height, width) of the image.
            boundary_threshold: how far a box may reach over the border.

        Returns:
            bool, shape (N,). Left and top border belong to the inside, right and bottom (shifted
            by the threshold) do not.
        """
        height, width = box_size
        low_enough = self.tensor[:, :2] >= -boundary_threshold
        right_end, bottom_end = self.tensor[:, 2], self.tensor[:, 3]
        return (
            low_enough.all(dim=1)
            & (right_end < width + boundary_threshold)
            & (bottom_end < height + boundary_threshold)
        )

    def scale(self, scale_x: float, scale_y: float) -> None:
        """Multiplies the x and the y coordinates, in place in the tensor."""
        self.tensor[:, [0, 2]] *= scale_x
        self.tensor[:, [1, 3]] *= scale_y

    @classmethod
    def cat(cls, boxes_list: list["Boxes"]) -> "Boxes":
        """All boxes of a list one after the other; zero boxes for an empty list.

        Raises:
            TypeError: an element is not a Boxes object.
        """
        for boxes in boxes_list:
            if not isinstance(boxes, Boxes):
                raise TypeError(f"Boxes.cat expects Boxes objects, got {boxes}")
        if len(boxes_list) == 0:
            return cls(torch.empty(0, 4))
        return cls(torch.cat([boxes.tensor for boxes in boxes_list]))

    # TorchScript takes what has no annotation for a tensor.
    def __getitem__(self, item) -> "Boxes":  # type: ignore[no-untyped-def]
        """Selects boxes by an int (one box, still (1, 4)), slice, list, mask or index tensor."""
        if isinstance(item, int):
            return Boxes(self.tensor[item].unsqueeze(0))
        selected = self.tensor[item]
        if selected.dim() != 2:
            raise IndexError(f"indexing Boxes with {item} does not give a list of boxes")
        return Boxes(selected)

    def __len__(self) -> int:
        return self.tensor.shape[0]

    @torch.jit.unused
    def __iter__(self) -> Any:
        """Yields each box as a tensor of shape (4,)."""
        return iter(self.tensor)

    def __repr__(self) -> str:
        return f"Boxes({self.tensor})"


def _sizes(corners: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Widths and heights of (N, 4) corner boxes."""
    left, top, right, bottom = corners.unbind(dim=1)
    return right - left, bottom - top


def _quotient_or_zero(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """``part / whole``, and 0 where there is no part (so 0 / 0 is 0)."""
    return torch.where(part > 0, part / whole, torch.zeros_like(part))


def pairwise_intersection(boxes1: Boxes, boxes2: Boxes) -> torch.Tensor:
    """Common area in square pixels of every box in ``boxes1`` (N) with every one in ``boxes2`` (M).

    Returns:
        Tensor of shape (N, M).
    """
    ours, theirs = boxes1.tensor.unsqueeze(1), boxes2.tensor.unsqueeze(0)
    top_left = torch.maximum(ours[..., :2], theirs[..., :2])
    bottom_right = torch.minimum(ours[..., 2:], theirs[..., 2:])
    return (bottom_right - top_left).clamp_(min=0).prod(dim=2)


def pairwise_iou(boxes1: Boxes, boxes2: Boxes) -> torch.Tensor:
    """Intersection over union of every box in ``boxes1`` (N) with every one in ``boxes2`` (M).

    Returns:
        Tensor of shape (N, M), between 0 and 1; 0 for two boxes without area.
    """
    common = pairwise_intersection(boxes1, boxes2)
    union = boxes1.area().unsqueeze(1) + boxes2.area() - common
    return _quotient_or_zero(common, union)


def pairwise_ioa(boxes1: Boxes, boxes2: Boxes) -> torch.Tensor:
    """Which share of each box in ``boxes2`` (M) each box in ``boxes1`` (N) covers.

    Returns:
        Tensor of shape (N, M): intersection over the area of the second box.
    """
    return _quotient_or_zero(pairwise_intersection(boxes1, boxes2), boxes2.area())


def matched_pairwise_iou(boxes1: Boxes, boxes2: Boxes) -> torch.Tensor:
    """Intersection over union of the i-th box of one list with the i-th of the other.

    Returns:
        Tensor of shape (N,); 0 for two boxes without area.

    Raises:
        ValueError: the lists differ in length.
    """
    if len(boxes1) != len(boxes2):
        raise ValueError(
            f"matched IoU needs as many boxes in both lists, got {len(boxes1)} and {len(boxes2)}"
        )
    top_left = torch.maximum(boxes1.tensor[:, :2], boxes2.tensor[:, :2])
    bottom_right = torch.minimum(boxes1.tensor[:, 2:], boxes2.tensor[:, 2:])
    common = (bottom_right - top_left).clamp(min=0).prod(dim=1)
    return _quotient_or_zero(common, boxes1.area() + boxes2.area() - common)


# The older name of the same function.
matched_boxlist_iou = matched_pairwise_iou


def pairwise_point_box_distance(points: torch.Tensor, boxes: Boxes) -> torch.Tensor:
    """How far every point (N, as x, y) is from the four sides of every box (M).

    Returns:
        Tensor of shape (N, M, 4): distances to the left, top, right and bottom side in pixels, all
        positive exactly if the point lies inside the box.
    """
    spots = points.unsqueeze(1)
    corners = boxes.tensor.unsqueeze(0)
    return torch.cat([spots - corners[..., :2], corners[..., 2:] - spots], dim=2)
