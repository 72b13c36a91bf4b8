"""Objects of two results of the same image, paired and compared.

Shapes: N objects of an image of H x W pixels.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .metadata import Metadata
from .paste import paste_in_boxes, paste_maps
from .precision import BFLOAT16, FLOAT32


class Limits(NamedTuple):
    """How far results may differ.

    Attributes:
        boxes: in pixels, of each side.
        scores: of an object.
        pixels: share of an image's pixels, of a mask or a label map.
        farthest: so many times the limits of box and score together apart, two are no pair.
        least: objects of lower scores are not compared.
    """

    boxes: float
    scores: float
    pixels: float
    farthest: float = 20
    least: float = 0.0


LIMITS = {FLOAT32: Limits(0.5, 5e-3, 2e-3), BFLOAT16: Limits(4.0, 0.1, 0.02, 3, 0.5)}
"""By the precision of the network. Of bfloat16's 8 bits, an error of some hundredths is left at the
end of a network, and suppression leaves other boxes of low scores; what it costs only AP tells."""


class Objects(NamedTuple):
    """What is found in an image.

    Attributes:
        boxes: (N, 4) in pixels of the image.
        scores: (N,).
        classes: (N,) of whole numbers.
        masks: (N, H, W) bool; None: of boxes alone.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray | None

    def at(self, places: np.ndarray) -> "Objects":
        """Those of these indices."""
        masks = None if self.masks is None else self.masks[places]
        return Objects(self.boxes[places], self.scores[places], self.classes[places], masks)


class Deviation(NamedTuple):
    """Of P pairs of objects: their indices, and by how much the second differs from the first.

    Attributes:
        first, second: (P,) indices.
        boxes: (P,) pixels, of the side that differs most.
        scores: (P,).
        pixels: (P,) share of the image's pixels; 0 without masks.
    """

    first: np.ndarray
    second: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    pixels: np.ndarray

    def small(self, limits: Limits) -> np.ndarray:
        """Which differ by no more than rounding: (P,) bool."""
        near = (self.boxes <= limits.boxes) & (self.scores <= limits.scores)
        return near & (self.pixels <= limits.pixels)


def of_model(instances: Any) -> Objects:
    """From Detectron2's ``Instances``."""
    masks = instances.pred_masks.numpy() if instances.has("pred_masks") else None
    return Objects(
        instances.pred_boxes.tensor.numpy(),
        instances.scores.numpy(),
        instances.pred_classes.numpy(),
        masks,
    )


def of_file(
    outputs: Mapping[str, np.ndarray], metadata: Metadata, size: tuple[int, int]
) -> Objects:
    """From the outputs of an exported file for an image of (H, W) pixels."""
    count = int(outputs["count"])
    boxes, scores, classes = (outputs[name][:count] for name in ("boxes", "scores", "classes"))
    if "masks" not in outputs:
        return Objects(boxes, scores, classes, None)
    masks = outputs["masks"][:count]
    if metadata.mask_stride:
        seen = (int(outputs["network_size"][0]), int(outputs["network_size"][1]))
        return Objects(boxes, scores, classes, paste_maps(masks, metadata.mask_stride, seen, size))
    return Objects(boxes, scores, classes, paste_in_boxes(masks, boxes, size))


def deviation(first: Objects, second: Objects, limits: Limits) -> Deviation:
    """Pair objects by class and nearness, in any order, each once; and compare the pairs."""
    pairs = np.array(_pairs(first, second, limits), dtype=int).reshape(-1, 2)
    a, b = first.at(pairs[:, 0]), second.at(pairs[:, 1])
    pixels = np.zeros(len(pairs))
    if a.masks is not None and b.masks is not None and len(pairs):
        differing = zip(a.masks, b.masks, strict=True)
        pixels = np.array([float((mask != other).mean()) for mask, other in differing])
    away = np.abs(a.boxes - b.boxes).max(axis=1, initial=0)
    return Deviation(pairs[:, 0], pairs[:, 1], away, np.abs(a.scores - b.scores), pixels)


def elsewhere(first: Objects, second: Objects, limits: Limits) -> np.ndarray:
    """Which of the second stand for one of the first at another place, of its class and score.

    Returns:
        (N,) bool; no object of the first stands for two.
    """
    free = np.ones(len(first.scores), dtype=bool)
    found = np.zeros(len(second.scores), dtype=bool)
    for index, (score, label) in enumerate(zip(second.scores, second.classes, strict=True)):
        like = free & (first.classes == label) & (np.abs(first.scores - score) <= limits.scores)
        if like.any():
            free[int(like.argmax())] = False
            found[index] = True
    return found


def _pairs(first: Objects, second: Objects, limits: Limits) -> list[tuple[int, int]]:
    taken = np.zeros(len(second.scores), dtype=bool)
    pairs = []
    for index, box in enumerate(first.boxes):
        away = np.abs(second.boxes - box).max(axis=1, initial=0) / limits.boxes
        away += np.abs(second.scores - first.scores[index]) / limits.scores
        away[taken | (second.classes != first.classes[index])] = np.inf
        if len(away) and away.min() < limits.farthest:
            nearest = int(away.argmin())
            taken[nearest] = True
            pairs.append((index, nearest))
    return pairs
