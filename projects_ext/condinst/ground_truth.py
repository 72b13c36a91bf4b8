"""Ground-truth masks at the stride at which they are compared, and what else they tell.

Of a mask at stride s, cell i stands for the pixel ``s // 2 + i * s``, as in the predictions.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from detectron2.structures import BitMasks, Instances, PolygonMasks, polygons_to_bitmask


class SampledMasks(NamedTuple):
    """The masks of an image's M instances.

    Attributes:
        masks: (M, H, W) bool at the stride; cells beyond the image are False.
        centers: (M, 2) x and y of the masks' centroids in pixels, of the boxes' where a mask has
            no pixel.
        areas: (M,) in pixels.
    """

    masks: Tensor
    centers: Tensor
    areas: Tensor


def sample_masks(instances: Instances, stride: int, size: tuple[int, int]) -> SampledMasks:
    """Sample the ``gt_masks`` of an image.

    Polygons are rasterised one instance at a time and in no more than its own window, so that no
    mask of the image's size is ever made.

    Args:
        instances: with ``gt_boxes`` and, if there are any instances, ``gt_masks``.
        stride: s, in pixels.
        size: height and width of the sampled masks.

    Raises:
        ValueError: instances without masks.
    """
    boxes = instances.gt_boxes.tensor
    masks = torch.zeros((len(instances), *size), dtype=torch.bool, device=boxes.device)
    if len(instances) == 0:
        return SampledMasks(masks, boxes.new_zeros((0, 2)), boxes.new_zeros(0))
    if not instances.has("gt_masks"):
        raise ValueError(
            "CondInst trains on masks, and the ground truth has none: set use_instance_mask=True "
            "in the mapper of dataloader.train (YAML: MODEL.MASK_ON True)"
        )
    truth: Any = instances.gt_masks
    if isinstance(truth, PolygonMasks):
        moments = _sample_polygons(truth, masks, stride, instances.image_size).to(boxes)
    elif isinstance(truth, BitMasks):
        moments = _sample_bits(truth.tensor, masks, stride).to(boxes)
    else:
        raise ValueError(f"gt_masks is a {type(truth).__name__}, not PolygonMasks or BitMasks")
    areas = moments[:, 2]
    box_centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    centroids = moments[:, :2] / areas.clamp(min=1)[:, None]
    return SampledMasks(masks, torch.where(areas[:, None] > 0, centroids, box_centers), areas)


def _moments(by_column: Tensor, by_row: Tensor) -> Tensor:
    """(…, 3) sums of x, of y and of 1 over pixels, from how many lie in each column and row."""
    x = torch.arange(by_column.shape[-1], device=by_column.device)
    y = torch.arange(by_row.shape[-1], device=by_row.device)
    sums = [(by_column * x).sum(dim=-1), (by_row * y).sum(dim=-1), by_row.sum(dim=-1)]
    return torch.stack(sums, dim=-1)


def _sample_bits(bits: Tensor, masks: Tensor, stride: int) -> Tensor:
    sampled = bits[:, stride // 2 :: stride, stride // 2 :: stride][:, : masks.shape[1]]
    sampled = sampled[..., : masks.shape[2]]
    masks[:, : sampled.shape[1], : sampled.shape[2]] = sampled
    return torch.stack([_moments(mask.sum(dim=0), mask.sum(dim=1)) for mask in bits])


def _sample_polygons(
    truth: PolygonMasks, masks: Tensor, stride: int, image_size: tuple[int, int]
) -> Tensor:
    """Fill in ``masks``; returns the moments."""
    moments = []
    for polygons, mask in zip(truth.polygons, masks, strict=True):
        (y0, x0), window = _window(polygons, image_size)
        found = _moments(window.sum(dim=0), window.sum(dim=1))
        found[:2] += found[2] * torch.tensor((x0, y0))
        moments.append(found)
        # The first cells whose pixels are in the window, and these pixels.
        row, column = (max(0, -(-(start - stride // 2) // stride)) for start in (y0, x0))
        pixels = (stride // 2 + row * stride - y0, stride // 2 + column * stride - x0)
        sampled = window[pixels[0] :: stride, pixels[1] :: stride]
        place = mask[row : row + sampled.shape[0], column : column + sampled.shape[1]]
        place.copy_(sampled[: place.shape[0], : place.shape[1]])
    return torch.stack(moments)


def _window(polygons: list[Any], image_size: tuple[int, int]) -> tuple[tuple[int, int], Tensor]:
    """Row and column of an instance's window of the image, and its mask (h, w) in there."""
    corners = np.concatenate([np.asarray(x, dtype=np.float64).reshape(-1, 2) for x in polygons])
    limits = np.array(image_size[::-1])
    low = np.floor(corners.min(axis=0) - 1).clip(0, limits - 1).astype(int)
    high = np.ceil(corners.max(axis=0) + 2).clip(low + 1, limits).astype(int)
    moved = [np.asarray(x, dtype=np.float64) - np.tile(low, len(x) // 2) for x in polygons]
    width, height = (int(side) for side in high - low)
    mask = polygons_to_bitmask(moved, height, width).astype(bool)
    return (int(low[1]), int(low[0])), torch.from_numpy(mask)


def semantic_targets(masks: Tensor, areas: Tensor, classes: Tensor, background: int) -> Tensor:
    """The class of every cell: that of the smallest instance there.

    Args:
        masks: (M, H, W) bool, M may be 0.
        areas: (M,).
        classes: (M,) int64.
        background: the label where there is no instance.

    Returns:
        (H, W) int64.
    """
    labels = torch.full(masks.shape[1:], background, dtype=torch.long, device=masks.device)
    for index in areas.argsort(descending=True, stable=True).tolist():
        labels[masks[index]] = classes[index]
    return labels
