"""Deterministic transforms beyond those of fvcore."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from fvcore.transforms.transform import CropTransform as _CropTransform
from fvcore.transforms.transform import NoOpTransform, Transform, TransformList
from PIL import Image
from torch.nn import functional as F

from detectron2.utils.unavailable import unavailable

from ._warp import BILINEAR, NEAREST, ExtentTransform, rotation_matrix, warp_affine

__all__ = [
    "ColorTransform",
    "CropTransform",
    "ExtentTransform",
    "PILColorTransform",
    "ResizeTransform",
    "RotationTransform",
]

_TORCH_MODES = {
    Image.Resampling.NEAREST: "nearest",
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "bicubic",
}


class ResizeTransform(Transform):
    """Resizes an image of ``h`` x ``w`` pixels to ``new_h`` x ``new_w``.

    Args:
        h, w: the size of the images it will be applied to, in pixels.
        new_h, new_w: the size they get.
        interp: a PIL interpolation; bilinear by default.
    """

    def __init__(self, h: int, w: int, new_h: int, new_w: int, interp: Any = None) -> None:
        super().__init__()
        self.h, self.w = h, w
        self.new_h, self.new_w = new_h, new_w
        self.interp = Image.Resampling.BILINEAR if interp is None else interp

    def apply_image(self, img: np.ndarray, interp: Any = None) -> np.ndarray:
        """Resize an array of shape (H, W), (H, W, C) or (H, W, C, N).

        uint8 images are resized by PIL, which filters when it shrinks; other types by torch,
        which does not.
        """
        if img.shape[:2] != (self.h, self.w) or img.ndim > 4:
            raise ValueError(
                f"This transform resizes {self.h} x {self.w} images (height x width), with at most "
                f"two more dimensions; the array has the shape {img.shape}."
            )
        method = self.interp if interp is None else interp
        resize = _resize_uint8 if img.dtype == np.uint8 else _resize_any
        return resize(img, self.new_h, self.new_w, method)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Scale an N x 2 array of (x, y), in place like fvcore's transforms.

        Integers stay integers: they are cut off.
        """
        coords[:, 0] = coords[:, 0] * (self.new_w / self.w)
        coords[:, 1] = coords[:, 1] * (self.new_h / self.h)
        return coords

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Resize a label map by nearest neighbour, so that no new labels appear."""
        return self.apply_image(segmentation, interp=Image.Resampling.NEAREST)

    def inverse(self) -> ResizeTransform:
        """The transform back to the old size."""
        return ResizeTransform(self.new_h, self.new_w, self.h, self.w, self.interp)


def _resize_uint8(img: np.ndarray, height: int, width: int, method: Any) -> np.ndarray:
    # PIL has no image of shape (H, W, 1).
    single_channel = img.ndim == 3 and img.shape[2] == 1
    pil_image = Image.fromarray(img[:, :, 0] if single_channel else img)
    resized = np.asarray(pil_image.resize((width, height), method))
    return resized[:, :, None] if single_channel else resized


def _resize_any(img: np.ndarray, height: int, width: int, method: Any) -> np.ndarray:
    if method not in _TORCH_MODES:
        raise ValueError(
            f"Interpolation {method} exists for uint8 images only; {img.dtype} arrays can be "
            "resized by nearest, bilinear and bicubic interpolation."
        )
    mode = _TORCH_MODES[method]
    # torch interpolates no integers but uint8; float64 holds all labels exactly.
    as_float = img if np.issubdtype(img.dtype, np.floating) else img.astype(np.float64)
    flat = torch.from_numpy(np.ascontiguousarray(as_float)).reshape(*img.shape[:2], -1)
    planes = flat.permute(2, 0, 1).unsqueeze(0)
    align = None if mode == "nearest" else False
    resized = F.interpolate(planes, (height, width), mode=mode, align_corners=align)
    out = resized[0].permute(1, 2, 0).reshape(height, width, *img.shape[2:]).numpy()
    return out.astype(img.dtype, copy=False)


class CropTransform(_CropTransform):
    """fvcore's crop, with polygons clipped without the shapely package.

    A concave polygon that the window cuts into several parts stays one polygon whose parts are
    joined by edges along the window's border; it covers the same pixels.
    """

    def apply_polygons(self, polygons: list[np.ndarray]) -> list[np.ndarray]:
        """Clip polygons (N x 2 arrays of (x, y)) to the window and shift them into it.

        Polygons outside of the window are left out.
        """
        low = np.array([self.x0, self.y0], dtype=np.float64)
        high = low + np.array([self.w, self.h])
        clipped = [_clip_polygon(np.asarray(p, dtype=np.float64), low, high) for p in polygons]
        areas = [_polygon_area(polygon) for polygon in clipped]
        # Counter-clockwise as one sees it, which is what shapely answers.
        return [
            (polygon - low)[:: -1 if area > 0 else 1]
            for polygon, area in zip(clipped, areas, strict=True)
            if area != 0
        ]


def _clip_polygon(polygon: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Sutherland and Hodgman's clipping of an N x 2 polygon to the box from low to high."""
    for axis in (0, 1):
        polygon = _clip_half_plane(polygon, polygon[:, axis] - low[axis])
        polygon = _clip_half_plane(polygon, high[axis] - polygon[:, axis])
    return polygon


def _clip_half_plane(polygon: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The part of a polygon where the signed distance to a line, given at its vertices, is >= 0."""
    if len(polygon) == 0 or distance.min() >= 0:
        return polygon
    following, distance_after = np.roll(polygon, -1, axis=0), np.roll(distance, -1)
    crosses = (distance >= 0) != (distance_after >= 0)
    step = np.divide(
        distance, distance - distance_after, where=crosses, out=np.zeros_like(distance)
    )
    crossing = polygon + step[:, None] * (following - polygon)
    # After each vertex comes the point where the edge that begins there crosses the line.
    candidates = np.stack([polygon, crossing], axis=1).reshape(-1, 2)
    keep = np.stack([distance >= 0, crosses], axis=1).reshape(-1)
    return candidates[keep]


def _polygon_area(polygon: np.ndarray) -> float:
    """Positive where the corners run clockwise as one sees it: y points down."""
    if len(polygon) < 3:
        return 0.0
    x, y = polygon.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


class RotationTransform(Transform):
    """Rotates an image of ``h`` x ``w`` pixels counter-clockwise; new pixels are 0.

    Args:
        h, w: the size of the images it will be applied to, in pixels.
        angle: in degrees.
        expand: enlarge the output to fit the whole rotated image; otherwise keep the size.
        center: (x, y) of the fixed point, by default the middle; of no effect with ``expand``.
        interp: 0, 1 or 2: nearest neighbour, bilinear (the default), bicubic, as in OpenCV.
    """

    def __init__(
        self,
        h: int,
        w: int,
        angle: float,
        expand: bool = True,
        center: Any = None,
        interp: int | None = None,
    ) -> None:
        super().__init__()
        self.h, self.w, self.angle, self.expand = h, w, angle, expand
        self.image_center = np.array([w / 2, h / 2])
        self.center = self.image_center if center is None else center
        self.interp = BILINEAR if interp is None else interp
        self.bound_w, self.bound_h = w, h
        if expand:
            cos, sin = abs(np.cos(np.deg2rad(angle))), abs(np.sin(np.deg2rad(angle)))
            self.bound_w = int(np.rint(h * sin + w * cos))
            self.bound_h = int(np.rint(h * cos + w * sin))
        self.rm_coords = self.create_rotation_matrix()
        # A pixel's index is its centre's coordinate less one half.
        self.rm_image = self.create_rotation_matrix(offset=-0.5)

    def create_rotation_matrix(self, offset: float = 0) -> np.ndarray:
        """(2, 3), for coordinates that are moved by ``offset``."""
        matrix = rotation_matrix(np.asarray(self.center) + offset, self.angle)
        if self.expand:
            middle = matrix @ np.append(self.image_center + offset, 1.0)
            matrix[:, 2] += np.array([self.bound_w, self.bound_h]) / 2 + offset - middle
        return matrix

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """Rotate an array of shape (H, W) or (H, W, C)."""
        if len(img) == 0 or self.angle % 360 == 0:
            return img
        assert img.shape[:2] == (self.h, self.w), (
            f"This transform rotates {self.h} x {self.w} images (height x width); the array has "
            f"the shape {img.shape}."
        )
        method = self.interp if interp is None else interp
        return warp_affine(img, self.rm_image, (self.bound_w, self.bound_h), method)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Rotate an N x 2 array of (x, y); float64."""
        points = np.asarray(coords, dtype=np.float64)
        if len(points) == 0 or self.angle % 360 == 0:
            return points
        return points @ self.rm_coords[:, :2].T + self.rm_coords[:, 2]

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Rotate a label map by nearest neighbour, so that no new labels appear."""
        return self.apply_image(segmentation, interp=NEAREST)

    def inverse(self) -> TransformList:
        """The rotation back, and a crop to the old size.

        Raises:
            NotImplementedError: without ``expand`` a part of the image is lost.
        """
        if not self.expand:
            raise NotImplementedError(
                "A rotation with expand=False loses a part of the image and has no inverse."
            )
        back = RotationTransform(self.bound_h, self.bound_w, -self.angle, True, None, self.interp)
        left, top = (back.bound_w - self.w) // 2, (back.bound_h - self.h) // 2
        return TransformList([back, CropTransform(left, top, self.w, self.h)])


class ColorTransform(Transform):
    """Applies a function of the image's colours; the geometry stays as it is.

    Args:
        op: a function from an image array to an image array of the same size.
    """

    def __init__(self, op: Callable[[Any], Any]) -> None:
        if not callable(op):
            raise TypeError(f"op has to be a function of an image, not {op!r}.")
        super().__init__()
        self.op = op

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """The image after ``op``."""
        return self.op(img)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """The coordinates as they are."""
        return coords

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """The label map as it is."""
        return segmentation

    def inverse(self) -> Transform:
        """Nothing: there is no geometric change to invert."""
        return NoOpTransform()


class PILColorTransform(ColorTransform):
    """A :class:`ColorTransform` whose function takes and returns a PIL image."""

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """The image after ``op``."""
        return np.asarray(self.op(Image.fromarray(img)))


(HFlip_rotated_box, Resize_rotated_box) = unavailable(
    __name__, "rotated boxes", "HFlip_rotated_box Resize_rotated_box"
)
