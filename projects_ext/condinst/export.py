"""CondInst with outputs of fixed sizes and no choices by value, for exported programs.

Shapes: an image of H x W pixels, padded to what the backbone wants; C candidates of all levels, K
detections, P parameters of a mask head, h x w cells of the masks (stride ``out_stride``).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import nms

from projects_ext.layers import cell_centers

from .condinst import CondInst
from .head import Predictions
from .inference import Selection
from .locations import boxes_at

Size = Sequence[Any]
"""(height, width) in pixels: numbers, or what stands for them while a program is recorded."""

CLASSES_IN_A_ROW = 9
"""Of the squares that keep boxes of different classes apart in NMS."""


class Candidates(NamedTuple):
    """What NMS chooses from.

    Attributes:
        boxes: (C, 4) in pixels of the network's input.
        scores: (C,); negative for what fills the places that are left.
        classes: (C,) int64.
        points: (C, 2) where they are predicted, in pixels.
        strides: (C,) of their levels.
        parameters: (C, P).
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    points: Tensor
    strides: Tensor
    parameters: Tensor

    def at(self, places: Tensor) -> "Candidates":
        """Those of these indices."""
        return Candidates(*(x.index_select(0, places) for x in self))


class FixedCondInst(nn.Module):
    """From a normalised image to as many detections as the model finds at most.

    The same detections as the model's own, in the same order; the places that are left over have
    scores of -1.

    Args:
        model: whose parts are used.
    """

    def __init__(self, model: CondInst) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, image: Tensor, size: Size) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            image: (1, 3, H', W'), normalised and padded.
            size: height and width without the padding, in pixels.

        Returns:
            boxes (K, 4) in pixels of the network's input, scores (K,), classes (K,) int64 and
            mask probabilities (K, h, w) of the padded image.
        """
        model = self.model
        pyramid = model.backbone(image)
        features = [pyramid[name] for name in model.head_in_features]
        predictions = model.head(features)
        best = select(
            candidates(predictions, model.strides, size, model.selection), size, model.selection
        )
        mask_features = model.mask_branch([features[level] for level in model.mask_levels])
        logits = model.mask_head(mask_features[0], best.parameters, best.points, best.strides)
        return best.boxes, best.scores, best.classes, model.mask_head.probabilities(logits)


def candidates(
    predictions: Predictions, strides: Sequence[int], size: Size, selection: Selection
) -> Candidates:
    """The best predictions of every level, as many as are allowed: see ``inference.detect``."""
    levels = zip(zip(*predictions, strict=True), strides, strict=True)
    found = [_level([x[0] for x in maps], stride, size, selection) for maps, stride in levels]
    return Candidates(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _level(maps: Sequence[Tensor], stride: int, size: Size, selection: Selection) -> Candidates:
    logits, distances, centerness, parameters = maps
    height, width = logits.shape[-2:]
    probabilities = logits.float().sigmoid().flatten(1)
    factors = centerness.float().sigmoid().flatten()
    if selection.centerness_first:
        probabilities, factors = probabilities * factors, torch.ones_like(factors)
    # However small the image is, so many candidates can be taken.
    filled = F.pad(probabilities.flatten(), (0, selection.topk_candidates), value=-1.0)
    best, places = filled.topk(selection.topk_candidates)
    cells = height * width
    classes = torch.div(places, cells, rounding_mode="floor")
    places = places - classes * cells

    points = cell_centers(height, width, stride, logits.device).index_select(0, places)
    sides = distances.flatten(1).index_select(1, places).t().float() * stride
    boxes = boxes_at(points, sides)
    scores = (best.clamp(min=0) * factors.index_select(0, places)) ** selection.score_exponent
    usable = best > selection.score_thresh
    if not selection.centerness_first:
        boxes = clipped(boxes, size)
        usable = usable & nonempty(boxes)
    scores = torch.where(usable, scores, -1.0)
    rows = parameters.flatten(1).index_select(1, places).t()
    return Candidates(boxes, scores, classes, points, torch.full_like(scores, stride), rows)


def select(found: Candidates, size: Size, selection: Selection) -> Candidates:
    """The best after NMS, by falling score: ``selection.max_detections`` with what fills up."""
    kept = kept_by_nms(found.boxes, found.scores, found.classes, selection.nms_thresh)
    scores = torch.where(kept, found.scores, -1.0)
    best = found._replace(scores=scores).at(scores.topk(selection.max_detections).indices)
    if not selection.centerness_first:
        return best
    boxes = clipped(best.boxes, size)
    best = best._replace(boxes=boxes, scores=torch.where(nonempty(boxes), best.scores, -1.0))
    return best.at(best.scores.topk(selection.max_detections).indices)


def clipped(boxes: Tensor, size: Size) -> Tensor:
    """Boxes (K, 4) within an image of a height and a width."""
    height, width = size
    xs = boxes[:, 0::2].clamp(min=0, max=width)
    ys = boxes[:, 1::2].clamp(min=0, max=height)
    return torch.stack((xs, ys), dim=2).flatten(1)


def nonempty(boxes: Tensor) -> Tensor:
    """Which boxes (K, 4) have an area: (K,) bool."""
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=1)


def kept_by_nms(boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """NMS among the boxes of each class.

    Exported, it needs two boxes that stay: two far from all others are added. What has a negative
    score takes no part, so that an image without candidates is like any other.

    Args:
        boxes: (C, 4).
        scores: (C,), negative where there is no box.
        classes: (C,) int64.
        threshold: of two boxes with a higher IoU, the one with the lower score goes.

    Returns:
        (C,) bool, which stay.
    """
    usable = scores >= 0
    present = torch.where(usable[:, None], boxes, 0.0)
    low = present.min()
    span = present.max() - low + 1
    # Each class has a square of its own. If all were in one row, offsets would cost more digits.
    row = torch.div(classes, CLASSES_IN_A_ROW, rounding_mode="floor")
    column = classes - row * CLASSES_IN_A_ROW
    square = torch.stack((column, row, column, row), dim=1) + 1
    own = boxes - low + square.to(boxes.dtype) * span
    # What is no box lies below the first of the added ones, and goes for it.
    added = boxes.new_tensor([[0.0, 0, 1, 1], [-3, -3, -2, -2]])
    rows = torch.cat((torch.where(usable[:, None], own, added[:1]), added))
    order = torch.cat((scores, torch.full_like(scores[:2], float("inf"))))
    stay = torch.zeros_like(order).scatter(0, nms(rows, order, threshold), 1.0)
    return (stay[:-2] > 0) & usable
