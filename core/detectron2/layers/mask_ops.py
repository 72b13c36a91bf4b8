"""From masks of boxes to masks of images."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from detectron2.utils.unavailable import INTERNALS, unavailable

__all__ = ["paste_masks_in_image"]

# How many bytes of resampled masks may exist at once when whole images are sampled.
MEMORY_LIMIT = 1024**3
BYTES_PER_PIXEL = 4  # float32
# A sampling position that is safely outside of every mask (they span -1 to 1).
OUTSIDE = -3.0


def paste_masks_in_image(
    masks: torch.Tensor, boxes: Any, image_shape: tuple[int, int], threshold: float = 0.5
) -> torch.Tensor:
    """Stretches each mask to its box in an image that is empty elsewhere.

    Masks are sampled bilinearly at the centre of each pixel.

    Args:
        masks: (N, M, M), probabilities (or anything else that is 0 outside).
        boxes: (N, 4) corners in image pixels, as a tensor or :class:`Boxes`; they need neither be
            integers nor lie inside of the image.
        image_shape: (height, width) in pixels.
        threshold: what is not below it becomes True. A negative one asks for the values instead:
            uint8, a probability of 1 becomes 255.

    Returns:
        (N, height, width), bool or uint8.

    Raises:
        ValueError: the shapes do not fit.
    """
    corners: torch.Tensor = boxes if isinstance(boxes, torch.Tensor) else boxes.tensor
    if masks.dim() != 3 or corners.shape != (len(masks), 4):
        raise ValueError(
            "paste_masks_in_image expects masks (N, M, M) and boxes (N, 4), got "
            f"{tuple(masks.shape)} and {tuple(corners.shape)}"
        )
    if torch.jit.is_tracing():
        # Windows and chunks would be those of the recorded image's boxes for all others.
        values = _sample(masks.float(), corners, (0, image_shape[0]), (0, image_shape[1]))
        return _finish(values, threshold)
    kind = torch.bool if threshold >= 0 else torch.uint8
    pasted = torch.zeros(len(masks), *image_shape, dtype=kind, device=masks.device)
    if pasted.numel() == 0:
        return pasted
    values = masks if masks.is_floating_point() else masks.float()
    paste = _paste_one_by_one if masks.device.type == "cpu" else _paste_in_chunks
    paste(pasted, values, corners.to(masks.device), threshold)
    return pasted


def _paste_one_by_one(
    pasted: torch.Tensor, masks: torch.Tensor, boxes: torch.Tensor, threshold: float
) -> None:
    """Fills ``pasted``, sampling only the pixels that a box can touch: best without a GPU."""
    height, width = pasted.shape[1:]
    # One pixel more on each side: a bilinear sample reaches half a mask cell over the border.
    starts = boxes[:, :2].floor().sub(1).clamp(min=0).long().tolist()
    ends = boxes[:, 2:].ceil().add(1).long().tolist()
    for index, ((left, top), (right, bottom)) in enumerate(zip(starts, ends, strict=True)):
        right, bottom = min(right, width), min(bottom, height)
        if left >= right or top >= bottom:
            continue
        rows, columns = (top, bottom), (left, right)
        one = slice(index, index + 1)
        window = pasted[one, top:bottom, left:right]
        window.copy_(_finish(_sample(masks[one], boxes[one], rows, columns), threshold))


def _paste_in_chunks(
    pasted: torch.Tensor, masks: torch.Tensor, boxes: torch.Tensor, threshold: float
) -> None:
    """Fills ``pasted``, sampling whole images, many at once: best on a GPU."""
    height, width = pasted.shape[1:]
    chunk = max(1, MEMORY_LIMIT // (height * width * BYTES_PER_PIXEL))
    for out, some_masks, some_boxes in zip(
        pasted.split(chunk), masks.split(chunk), boxes.split(chunk), strict=True
    ):
        out.copy_(_finish(_sample(some_masks, some_boxes, (0, height), (0, width)), threshold))


def _sample(
    masks: torch.Tensor, boxes: torch.Tensor, rows: tuple[int, int], columns: tuple[int, int]
) -> torch.Tensor:
    """Values of stretched masks at the pixels of a window, (K, rows, columns).

    Args:
        masks: (K, M, M), floating point.
        boxes: (K, 4).
        rows: first row of the window and the one behind its last.
        columns: the same across.
    """
    left, top, right, bottom = boxes.unsqueeze(2).unbind(dim=1)
    grid_y = _mask_coordinates(rows, top, bottom)
    grid_x = _mask_coordinates(columns, left, right)
    shape = (masks.shape[0], grid_y.shape[1], grid_x.shape[1])
    grid = torch.stack(
        [grid_x.unsqueeze(1).expand(shape), grid_y.unsqueeze(2).expand(shape)], dim=3
    )
    return F.grid_sample(masks.unsqueeze(1), grid.to(masks.dtype), align_corners=False).squeeze(1)


def _mask_coordinates(
    span: tuple[int, int], start: torch.Tensor, end: torch.Tensor
) -> torch.Tensor:
    """Where pixel centres fall in boxes that reach from -1 to 1: (K, span)."""
    centres = torch.arange(*span, device=start.device, dtype=torch.float32) + 0.5
    position = (centres - start) / (end - start) * 2 - 1
    # A box without extent divides by zero; nothing is to be seen of it.
    return torch.where(torch.isfinite(position), position, OUTSIDE)


def _finish(values: torch.Tensor, threshold: float) -> torch.Tensor:
    """Sampled values as bool by the threshold, or as uint8 if it is negative."""
    if threshold >= 0:
        return values >= threshold
    return (values * 255).to(torch.uint8)


def paste_mask_in_image_old(
    mask: torch.Tensor, box: torch.Tensor, img_h: int, img_w: int, threshold: float
) -> torch.Tensor:
    """One mask (M, M), stretched to a box (4,) in whole pixels: the older, coarser way.

    Returns:
        (img_h, img_w) uint8 of 0 and 1, or, for a negative threshold, of values up to 255.
    """
    left, top, right, bottom = box.to(torch.int32).tolist()
    size = (right - left + 1, bottom - top + 1)
    values = np.asarray(Image.fromarray(mask.cpu().numpy()).resize(size, Image.Resampling.BILINEAR))
    finished = _finish(torch.from_numpy(values.copy()), threshold).to(torch.uint8)
    pasted = torch.zeros(img_h, img_w, dtype=torch.uint8)
    rows, columns = slice(max(top, 0), bottom + 1), slice(max(left, 0), right + 1)
    window = pasted[rows, columns]
    part = finished[max(-top, 0) :, max(-left, 0) :]
    window.copy_(part[: window.shape[0], : window.shape[1]])
    return pasted


def pad_masks(masks: torch.Tensor, padding: int) -> tuple[torch.Tensor, float]:
    """Masks (N, M, M) with so many empty cells on each side, and how much larger they are now."""
    size = masks.shape[-1]
    return F.pad(masks, (padding,) * 4), (size + 2 * padding) / size


def scale_boxes(boxes: torch.Tensor, scale: float) -> torch.Tensor:
    """Boxes (N, 4), made larger by a factor around their centres."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
    return torch.cat([centre - half, centre + half], dim=1)


# Upstream's names.
BYTES_PER_FLOAT, GPU_MEM_LIMIT = BYTES_PER_PIXEL, MEMORY_LIMIT

(_do_paste_mask, _paste_masks_tensor_shape) = unavailable(
    __name__, INTERNALS, "_do_paste_mask _paste_masks_tensor_shape"
)
