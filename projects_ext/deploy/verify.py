"""Comparison of an exported file with the model that it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from projects_ext.prediction.predictor import Predictor

from .formats import Outputs, Runner
from .metadata import Metadata
from .paste import paste_in_boxes, paste_maps

SIZES = ((480, 640), (333, 500), (600, 450))
"""Heights and widths of the images that are made up for the comparison."""

PIXELS, SCORES, SHARE = 0.5, 5e-3, 2e-3
"""How far boxes (in pixels), scores, and masks or label maps (a share of the pixels) may differ."""


@dataclass(frozen=True)
class Difference:
    """Of an image's results.

    Attributes:
        name: of the image.
        size: its height and width.
        found: objects (or classes of a label map) that the model finds.
        missing: objects that only one of both finds, although their score is not on the edge.
        boxes, scores: the largest difference; 0 of label maps.
        pixels: share of the pixels that differ, of the worst mask or of the label map.
    """

    name: str
    size: tuple[int, int]
    found: int
    missing: int = 0
    boxes: float = 0.0
    scores: float = 0.0
    pixels: float = 0.0

    @property
    def small(self) -> bool:
        """Whether it is one of rounding."""
        within = self.boxes <= PIXELS and self.scores <= SCORES and self.pixels <= SHARE
        return not self.missing and within

    def row(self) -> str:
        """A line under :data:`HEAD`."""
        verdict = "equal" if self.small else "DIFFERENT"
        height, width = self.size
        return (
            f"{self.name[-24:]:24} {height:>5} x {width:<5} {self.found:>5} {self.missing:>7} "
            f"{self.boxes:>9.1e} {self.scores:>9.1e} {self.pixels:>9.1e}  {verdict}"
        )


HEAD = (
    f"{'image':24} {'height x width':13} {'found':>5} {'missing':>7} {'boxes px':>9} {'scores':>9} "
    f"{'pixels':>9}"
)


def verify(
    run: Runner, predictor: Predictor, metadata: Metadata, paths: Sequence[str] = ()
) -> list[Difference]:
    """Run file and model on the same images.

    Args:
        run: the file.
        predictor: the model.
        metadata: of the file.
        paths: image files; none: images are made up, one of them without objects.
    """
    images = [(path, predictor_pixels(path)) for path in paths] or made_up()
    return [compare(name, image, run(image), predictor, metadata) for name, image in images]


def predictor_pixels(path: str) -> np.ndarray:
    """An image file as exported programs take it."""
    from .images import rgb_pixels

    return rgb_pixels(path)


def made_up() -> list[tuple[str, np.ndarray]]:
    """Images of several sizes, each with blobs; and a last one of a smooth ramp alone."""
    random = np.random.default_rng(0)
    images = []
    for number, (height, width) in enumerate(SIZES, start=1):
        rows, columns = np.mgrid[:height, :width]
        canvas = np.full((height, width, 3), 110.0) + random.normal(0, 8, (height, width, 3))
        for _ in range(12):
            row, column = random.uniform(0, height), random.uniform(0, width)
            radius = random.uniform(0.04, 0.2) * min(height, width)
            inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
            canvas[inside] = random.uniform(0, 255, 3)
        images.append((f"blobs {number}", np.clip(canvas, 0, 255).astype(np.uint8)))
    ramp = np.linspace(40, 200, 320)[:, None, None] + np.linspace(0, 40, 400)[None, :, None]
    images.append(("without objects", np.repeat(ramp, 3, axis=2).astype(np.uint8)))
    return images


def compare(
    name: str, image: np.ndarray, outputs: Outputs, predictor: Predictor, metadata: Metadata
) -> Difference:
    """The difference of a file's outputs and a model's results for an image (H, W, 3) uint8 RGB."""
    with torch.no_grad():
        expected = predictor(Image.fromarray(image))
    size = (image.shape[0], image.shape[1])
    if metadata.kind == "semantic":
        labels = expected.numpy()
        share = float((outputs["labels"] != labels).mean())
        return Difference(name, size, len(np.unique(labels)), pixels=share)
    return _instances(name, size, outputs, expected, metadata)


def _instances(
    name: str, size: tuple[int, int], outputs: Outputs, expected: Any, metadata: Metadata
) -> Difference:
    count = int(outputs["count"])
    boxes, scores = outputs["boxes"][:count], outputs["scores"][:count]
    truth, truth_scores = expected.pred_boxes.tensor.numpy(), expected.scores.numpy()
    classes = expected.pred_classes.numpy()
    pairs = _pairs(boxes, outputs["classes"][:count], scores, truth, classes, truth_scores)
    # Where the list is full or the threshold cuts, rounding decides who is in.
    edge = metadata.score_threshold
    if max(count, len(truth)) == metadata.max_detections:
        edge = max(edge, min(scores.min(initial=1.0), truth_scores.min(initial=1.0)))
    alone = np.setdiff1d(np.arange(len(truth)), [i for i, _ in pairs])
    extra = np.setdiff1d(np.arange(count), [j for _, j in pairs])
    left = np.concatenate((truth_scores[alone], scores[extra]))
    missing = int((left > edge + SCORES).sum())
    if not pairs:
        return Difference(name, size, len(truth), missing)
    first, second = (np.array(x) for x in zip(*pairs, strict=True))
    return Difference(
        name,
        size,
        len(truth),
        missing,
        float(np.abs(truth[first] - boxes[second]).max()),
        float(np.abs(truth_scores[first] - scores[second]).max()),
        _masks(outputs, boxes, second, expected, first, size, metadata),
    )


def _pairs(
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    truth: np.ndarray,
    classes: np.ndarray,
    truth_scores: np.ndarray,
) -> list[tuple[int, int]]:
    """(of the model, of the file) by class and nearness, whatever the order; each once."""
    taken = np.zeros(len(boxes), dtype=bool)
    pairs = []
    for index, box in enumerate(truth):
        away = np.abs(boxes - box).max(axis=1, initial=0) / PIXELS
        away += np.abs(scores - truth_scores[index]) / SCORES
        away[taken | (labels != classes[index])] = np.inf
        if len(away) and away.min() < 20:
            nearest = int(away.argmin())
            taken[nearest] = True
            pairs.append((index, nearest))
    return pairs


def _masks(
    outputs: Outputs,
    boxes: np.ndarray,
    chosen: np.ndarray,
    expected: Any,
    first: np.ndarray,
    size: tuple[int, int],
    metadata: Metadata,
) -> float:
    """The share of pixels that differ, of the worst mask."""
    if "masks" not in outputs:
        return 0.0
    masks = outputs["masks"][chosen]
    if metadata.mask_stride:
        seen = (int(outputs["network_size"][0]), int(outputs["network_size"][1]))
        pasted = paste_maps(masks, metadata.mask_stride, seen, size)
    else:
        pasted = paste_in_boxes(masks, boxes[chosen], size)
    differing = pasted != expected.pred_masks.numpy()[first]
    return float(differing.mean(axis=(1, 2)).max())
