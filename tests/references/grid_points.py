"""Grid targets and boxes, one region, one point and one cell at a time."""

import torch
from torch import Tensor


def starts(size: int, cells: int) -> list[int]:
    """Where the heatmap of row or column 0, 1, … begins in the whole map of 2 x cells."""
    found = []
    for index in range(size):
        if index == 0:
            found.append(0)
        elif index == size - 1:
            found.append(cells)
        else:
            found.append(max(int((index / (size - 1) - 0.25) * 2 * cells), 0))
    return found


def grid_targets(boxes: Tensor, gt_boxes: Tensor, size: int, cells: int) -> Tensor:
    """(R, G, cells, cells): a plus of five cells around each ground truth point."""
    targets = torch.zeros(len(boxes), size * size, cells, cells, dtype=boxes.dtype)
    begin = starts(size, cells)
    for region, (box, truth) in enumerate(zip(boxes.tolist(), gt_boxes.tolist(), strict=True)):
        width, height = 2 * (box[2] - box[0]), 2 * (box[3] - box[1])
        left, top = box[0] - width / 4, box[1] - height / 4
        if width <= size or height <= size:
            continue
        for column in range(size):
            for row in range(size):
                x = truth[0] + (truth[2] - truth[0]) * column / (size - 1)
                y = truth[1] + (truth[3] - truth[1]) * row / (size - 1)
                cell_x = int((x - left) / width * 2 * cells)
                cell_y = int((y - top) / height * 2 * cells)
                for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
                    i, j = cell_y + dy - begin[row], cell_x + dx - begin[column]
                    if 0 <= i < cells and 0 <= j < cells:
                        targets[region, size * column + row, i, j] = 1
    return targets


def decode_boxes(boxes: Tensor, heatmaps: Tensor) -> Tensor:
    """(R, 4): each side from the points that lie on it, weighted by their scores."""
    size, cells = round(heatmaps.shape[1] ** 0.5), heatmaps.shape[-1]
    begin = starts(size, cells)
    decoded = []
    for box, maps in zip(boxes.tolist(), heatmaps, strict=True):
        width, height = 2 * (box[2] - box[0]), 2 * (box[3] - box[1])
        left, top = box[0] - width / 4, box[1] - height / 4
        points = {}
        for column in range(size):
            for row in range(size):
                heat = maps[size * column + row]
                best = int(heat.flatten().argmax())
                i, j = best // cells + begin[row], best % cells + begin[column]
                x = left + (j + 0.5) / (2 * cells) * width
                y = top + (i + 0.5) / (2 * cells) * height
                points[column, row] = x, y, float(heat.max())
        last, along = size - 1, range(size)
        sides = [
            [(points[0, i][0], points[0, i][2]) for i in along],
            [(points[i, 0][1], points[i, 0][2]) for i in along],
            [(points[last, i][0], points[last, i][2]) for i in along],
            [(points[i, last][1], points[i, last][2]) for i in along],
        ]
        decoded.append([sum(v * w for v, w in side) / sum(w for _, w in side) for side in sides])
    return torch.tensor(decoded, dtype=boxes.dtype)
