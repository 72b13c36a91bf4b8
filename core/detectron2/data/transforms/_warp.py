"""Images resampled along an affine map, and along a rectangle."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from fvcore.transforms.transform import Transform
from PIL import Image
from torch.nn import functional as F

# OpenCV's numbers of interpolations.
NEAREST, BILINEAR, BICUBIC = 0, 1, 2
_MODES = {BILINEAR: "bilinear", BICUBIC: "bicubic"}


def rotation_matrix(center: Any, angle: float) -> np.ndarray:
    """(2, 3): the rotation around (x, y) by degrees, counter-clockwise as an image is seen."""
    radians = np.deg2rad(angle)
    cos, sin = np.cos(radians), np.sin(radians)
    turn = np.array([[cos, sin], [-sin, cos]])
    middle = np.asarray(center, dtype=np.float64)
    return np.concatenate([turn, (middle - turn @ middle)[:, None]], axis=1)


def warp_affine(img: np.ndarray, matrix: np.ndarray, size: Any, interp: int) -> np.ndarray:
    """Move each pixel (x, y) to ``matrix @ (x, y, 1)``; pixels from outside are 0.

    Args:
        img: (H, W) or (H, W, C), of any type of numbers.
        matrix: (2, 3).
        size: (width, height) of the result.
        interp: 0, 1 or 2: nearest neighbour, bilinear, bicubic, as in OpenCV.

    Raises:
        ValueError: for another interpolation.
    """
    if interp not in (NEAREST, *_MODES):
        raise ValueError(
            f"interp is 0 (nearest neighbour), 1 (bilinear) or 2 (bicubic), not {interp!r}."
        )
    back = np.linalg.inv(np.concatenate([matrix, [[0, 0, 1]]]))[:2]
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    points = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ back.T
    points = np.round(points, 6)  # so that a turn by 90 degrees hits the pixels
    return _nearest(img, points) if interp == NEAREST else _interpolated(img, points, interp)


def _nearest(img: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y = np.moveaxis(np.floor(points + 0.5).astype(np.int64), -1, 0)
    height, width = img.shape[:2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    out = np.zeros((*x.shape, *img.shape[2:]), dtype=img.dtype)
    out[inside] = img[y[inside], x[inside]]
    return out


def _interpolated(img: np.ndarray, points: np.ndarray, interp: int) -> np.ndarray:
    height, width = img.shape[:2]
    given = torch.from_numpy(np.ascontiguousarray(img)).reshape(height, width, -1)
    # float32 holds all values of the types that images have; labels may need float64.
    exact = torch.float32 if img.dtype in (np.uint8, np.float32, np.float16) else torch.float64
    # Pixel i of a row of N lies at 2 i / (N - 1) - 1; one of a single pixel at 0.
    size = np.array([width, height])
    grid = torch.from_numpy(2 * points / np.maximum(size - 1, 1) - (size > 1))[None].to(exact)
    planes = given.permute(2, 0, 1)[None].to(exact)
    out = F.grid_sample(planes, grid, mode=_MODES[interp], align_corners=True)
    if not given.is_floating_point():
        limits = torch.iinfo(given.dtype)
        out = out.round_().clamp_(limits.min, limits.max)
    result = out[0].to(given.dtype).permute(1, 2, 0)
    return result.reshape(*points.shape[:2], *img.shape[2:]).numpy()


class ExtentTransform(Transform):
    """Takes a rectangle out of the image, which may reach beyond it, and scales it.

    Args:
        src_rect: x0, y0, x1, y1 in pixels of the image.
        output_size: (height, width) of the result.
        interp: a PIL interpolation.
        fill: the value of pixels outside of the image.
    """

    def __init__(
        self,
        src_rect: Any,
        output_size: Any,
        interp: Any = Image.Resampling.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.src_rect, self.output_size = src_rect, output_size
        self.interp, self.fill = interp, fill

    def apply_image(self, img: np.ndarray, interp: Any = None) -> np.ndarray:
        """Resample an image that PIL can hold: uint8 (H, W) or (H, W, C), or another (H, W)."""
        single = img.ndim == 3 and img.shape[2] == 1
        source = Image.fromarray(img[:, :, 0] if single else img)
        bands = len(source.getbands())
        fill: Any = (self.fill,) * bands if bands > 1 and np.isscalar(self.fill) else self.fill
        result = source.transform(
            tuple(self.output_size[::-1]),
            Image.Transform.EXTENT,
            tuple(self.src_rect),
            resample=self.interp if interp is None else interp,
            fillcolor=fill,
        )
        pixels = np.asarray(result)
        return pixels[:, :, None] if single else pixels

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Map an N x 2 array of (x, y); float32, not clipped."""
        low, high = np.array(self.src_rect, dtype=np.float32).reshape(2, 2)
        size = np.array(self.output_size[::-1], dtype=np.float32)
        # From the middle of one rectangle to the middle of the other.
        relative = (coords.astype(np.float32) - 0.5 * (low + high)) * (size / (high - low))
        return relative + 0.5 * size

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """Resample a label map by nearest neighbour, so that no new labels appear."""
        return self.apply_image(segmentation, interp=Image.Resampling.NEAREST)
