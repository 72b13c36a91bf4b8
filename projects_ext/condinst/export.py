"""CondInst with outputs of fixed sizes and no choices by value, for exported programs.

Shapes: an image of H x W pixels; C candidates of all levels, K detections (always as many as the
model finds at most), P parameters of a mask head, h x w cells of the masks.
"""

from collections.abc import Callable, Sequence
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

Preprocess = Callable[[Tensor], tuple[Tensor, Size]]
"""What lies before the network."""

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
    """From an image to as many detections as the model finds at most, and how many there are.

    The same detections as the model's own, in the same order, at the image's size. Only the last
    enlargement of the masks is left to the program around it, since it needs much memory: they are
    probabilities on every ``out_stride``-th pixel of the network's padded input, whose size without
    padding is ``network_size``. ``projects_ext.deploy.paste.paste_maps`` does the rest.

    Args:
        model: whose parts are used.
        preprocess: (H, W, 3) uint8 RGB -> the network's input (1, 3, H', W'), normalised and
            padded, and its height and width without padding.
    """

    OUTPUTS = ("boxes", "scores", "classes", "masks", "count", "network_size")
    """Names of the outputs, in order."""

    def __init__(self, model: CondInst, preprocess: Preprocess) -> None:
        super().__init__()
        self.model, self.preprocess = model.eval(), preprocess

    @property
    def mask_stride(self) -> int:
        """Pixels of the network's input from one cell of a mask to the next."""
        return self.model.mask_head.out_stride

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            boxes (K, 4) in pixels of the image, scores (K,) by falling score and -1 from ``count``
            on, classes (K,) int64, masks (K, h, w), count () int64, network_size (2,) int64.
        """
        padded, size = self.preprocess(image)
        model = self.model
        pyramid = model.backbone(padded)
        features = [pyramid[name] for name in model.head_in_features]
        predictions = model.head(features)
        found = candidates(predictions, model.strides, size, model.selection)
        best = at_size(select(found, size, model.selection), size, image.shape[:2])
        mask_features = model.mask_branch([features[level] for level in model.mask_levels])
        logits = model.mask_head(mask_features[0], best.parameters, best.points, best.strides)
        return (
            best.boxes,
            best.scores,
            best.classes,
            model.mask_head.probabilities(logits),
            (best.scores >= 0).sum(),
            torch.stack([number(edge).long() for edge in size]),
        )


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
    classes = classes.clamp(max=logits.shape[0] - 1)  # of what fills up

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
    best = highest(found, kept, selection.max_detections)
    return within(best, size) if selection.centerness_first else best


def highest(found: Candidates, usable: Tensor, count: int) -> Candidates:
    """The first ``count`` by falling score; those that are not usable come last, with -1."""
    scores = torch.where(usable, found.scores, -1.0)
    return found._replace(scores=scores).at(scores.topk(count).indices)


def within(found: Candidates, size: Size) -> Candidates:
    """Clip boxes to an image; those that are empty then come last."""
    found = found._replace(boxes=clipped(found.boxes, size))
    return highest(found, nonempty(found.boxes), len(found.scores))


def at_size(found: Candidates, size: Size, wanted: Size) -> Candidates:
    """Scale boxes from the network's input to the image, as ``detector_postprocess`` does."""
    down, across = (number(new) / number(old) for new, old in zip(wanted, size, strict=True))
    scale = torch.stack((across, down, across, down)).to(found.boxes)
    return within(found._replace(boxes=found.boxes * scale), wanted)


def number(value: Any) -> Tensor:
    """A scalar float32 tensor of a number, or of what stands for it while a program is recorded."""
    if isinstance(value, Tensor):
        return value.to(torch.float32)
    return torch.scalar_tensor(value, dtype=torch.float32)


def clipped(boxes: Tensor, size: Size) -> Tensor:
    """Boxes (K, 4) within an image of a height and a width."""
    height, width = map(number, size)
    return boxes.clamp(min=0).minimum(torch.stack((width, height, width, height)))


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
