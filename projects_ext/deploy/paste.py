"""From the masks of an exported model to masks of the image, in NumPy.

Shapes: K masks, an image of H x W pixels. Only the part of the image that a mask can reach is
computed; everything is linear in rows and in columns, hence two matrix products per mask.
"""

import numpy as np

REACH = 3
"""Cells beside a row of cells that the same pixels see."""


def paste_in_boxes(
    masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float = 0.5
) -> np.ndarray:
    """Stretch each mask to its box, as Detectron2's ``paste_masks_in_image`` does.

    Args:
        masks: (K, M, M) probabilities.
        boxes: (K, 4) in pixels of the image.
        size: (H, W).
        threshold: from this probability on a pixel belongs to the mask.

    Returns:
        (K, H, W) bool.
    """
    height, width = size
    pasted = np.zeros((len(masks), height, width), dtype=bool)
    # One pixel more on each side: a bilinear sample reaches half a cell over the border.
    first = np.maximum(np.floor(boxes[:, :2]) - 1, 0).astype(int)
    last = np.minimum(np.ceil(boxes[:, 2:]) + 1, (width, height)).astype(int)
    for mask, box, (x0, y0), (x1, y1), place in zip(masks, boxes, first, last, pasted, strict=True):
        if x0 >= x1 or y0 >= y1 or box[2] <= box[0] or box[3] <= box[1]:
            continue
        rows = _tents(_cells(y0, y1, box[1], box[3], mask.shape[0]), mask.shape[0])
        columns = _tents(_cells(x0, x1, box[0], box[2], mask.shape[1]), mask.shape[1])
        place[y0:y1, x0:x1] = rows @ mask @ columns.T >= threshold
    return pasted


def _cells(start: int, stop: int, low: float, high: float, count: int) -> np.ndarray:
    """Where the centres of pixels ``start`` to ``stop`` lie among the cells of a box's side."""
    centres = np.arange(start, stop, dtype=np.float32) + np.float32(0.5)
    grid = (centres - low) / (high - low) * 2 - 1
    return ((grid + 1) * count - 1) / 2


def _tents(positions: np.ndarray, count: int) -> np.ndarray:
    """The bilinear weights (positions, count) of cells; beyond the outermost there is nothing."""
    distances = np.abs(positions[:, None] - np.arange(count, dtype=np.float32))
    return np.maximum(1 - distances, 0).astype(np.float32)


def paste_maps(
    maps: np.ndarray,
    stride: int,
    seen: tuple[int, int],
    size: tuple[int, int],
    threshold: float = 0.5,
) -> np.ndarray:
    """Enlarge masks of the whole image, as CondInst does with its own.

    Args:
        maps: (K, h, w) probabilities, on every ``stride``-th pixel of the network's input.
        stride: in pixels.
        seen: height and width of the network's input, without padding.
        size: (H, W).
        threshold: above this probability a pixel belongs to the mask.

    Returns:
        (K, H, W) bool.
    """
    pasted = np.zeros((len(maps), *size), dtype=bool)
    rows = enlargement(maps.shape[1], stride, seen[0], size[0])
    columns = enlargement(maps.shape[2], stride, seen[1], size[1])
    for found, place in zip(maps, pasted, strict=True):
        # Every value is a mean of cells: where none is above the threshold, no pixel is.
        high = found > threshold
        if not high.any():
            continue
        near_rows, near_columns = _reach(high.any(axis=1)), _reach(high.any(axis=0))
        down, across = rows[:, near_rows], columns[:, near_columns]
        y, x = _span(down), _span(across)
        place[y, x] = down[y] @ found[near_rows, near_columns] @ across[x].T > threshold
    return pasted


def _reach(marked: np.ndarray) -> slice:
    """From the first to the last cell that is marked, and those whose pixels see them, too."""
    (places,) = marked.nonzero()
    return slice(max(int(places[0]) - REACH, 0), int(places[-1]) + REACH + 1)


def _span(weights: np.ndarray) -> slice:
    """The pixels that see only these cells: the weights of a pixel add up to 1."""
    (places,) = (weights.sum(axis=1) > 0.999).nonzero()
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def enlargement(cells: int, stride: int, seen: int, length: int) -> np.ndarray:
    """The weights (length, cells) that bring one direction of a map to the image's pixels.

    First cell i goes to pixel ``stride * i + stride // 2`` of the network's input, with the
    outermost cells repeated; then its ``seen`` pixels are resized bilinearly to ``length``.

    Args:
        cells: of the map.
        stride: in pixels.
        seen: pixels of the network's input without padding.
        length: of the image.
    """
    positions = (np.arange(seen, dtype=np.float32) - stride // 2) / np.float32(stride)
    fine = _tents(np.clip(positions, 0, cells - 1), cells)
    if seen == length:
        return fine
    scale = np.float32(seen) / np.float32(length)
    source = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    source = np.maximum(source, 0)
    upper = np.minimum(source.astype(int), seen - 1)
    lower = np.minimum(upper + 1, seen - 1)
    share = (source - upper)[:, None].astype(np.float32)
    return fine[upper] * (1 - share) + fine[lower] * share
