"""Comparison of an exported file with the model that it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from projects_ext.prediction.predictor import Predictor

from .formats import Outputs, Runner
from .images import rgb_pixels
from .matching import LIMITS, Limits, deviation, elsewhere, of_file, of_model
from .metadata import Metadata
from .precision import FLOAT32
from .steadiness import CHANGE, steady_objects, steady_pixels

SIZES = ((480, 640), (333, 500), (600, 450))
"""Heights and widths of the images that are made up for the comparison."""

EMPTY = (320, 400)
"""Height and width of those without objects."""

WITHOUT, RAMP = "without objects", "smooth ramp"
"""Names of an image in which the model finds nothing, and of the first that is tried for it."""


@dataclass(frozen=True)
class Difference:
    """Of an image's results.

    Attributes:
        name: of the image.
        size: its height and width.
        found: objects (or classes of a label map) that the model finds.
        wrong: objects that differ, or that only one of both finds although their score is not on
            the edge; of a label map: 1 if too many pixels differ.
        unsteady: objects that differ, but move in the model itself with its numbers' last digits.
        boxes, scores: the largest difference of all objects; 0 of label maps.
        pixels: share of the pixels that differ, of the worst mask or of the label map.
    """

    name: str
    size: tuple[int, int]
    found: int
    wrong: int = 0
    unsteady: int = 0
    boxes: float = 0.0
    scores: float = 0.0
    pixels: float = 0.0

    @property
    def small(self) -> bool:
        """Whether it is one of rounding."""
        return not self.wrong

    @property
    def compared(self) -> bool:
        """Whether there was something to be compared."""
        return self.found > self.unsteady

    def row(self) -> str:
        """A line under :data:`HEAD`."""
        verdict = "equal" if self.small else "DIFFERENT"
        height, width = self.size
        return (
            f"{self.name[-24:]:24} {height:>5} x {width:<5} {self.found:>5} {self.wrong:>9} "
            f"{self.unsteady:>8} {self.boxes:>9.1e} {self.scores:>9.1e} {self.pixels:>9.1e}  "
            f"{verdict}"
        )


HEAD = (
    f"{'image':24} {'height x width':13} {'found':>5} {'different':>9} {'unsteady':>8} "
    f"{'boxes px':>9} {'scores':>9} {'pixels':>9}"
)


def verify(
    run: Runner,
    predictor: Predictor,
    metadata: Metadata,
    paths: Sequence[str] = (),
    precision: str = FLOAT32,
) -> list[Difference]:
    """Run file and model on the same images.

    Args:
        run: the file.
        predictor: the model.
        metadata: of the file.
        paths: image files; none: images are made up, the last one without objects.
        precision: of the file's network.
    """
    images = [(path, rgb_pixels(path)) for path in paths]
    if not images:
        images = made_up()
        images.append(("ramp", ramp()) if metadata.kind == "semantic" else without(predictor))
    limits = LIMITS[precision]
    return [compare(name, image, run(image), predictor, metadata, limits) for name, image in images]


def made_up() -> list[tuple[str, np.ndarray]]:
    """Images of several sizes, (H, W, 3) uint8 RGB, each with blobs."""
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
    return images


def ramp() -> np.ndarray:
    """An image (H, W, 3) uint8 that grows lighter from corner to corner."""
    down, across = (np.linspace(0, end, edge) for edge, end in zip(EMPTY, (160, 40), strict=True))
    grey = 40 + down[:, None, None] + across[None, :, None]
    return np.repeat(grey, 3, axis=2).astype(np.uint8)


def without(predictor: Predictor) -> tuple[str, np.ndarray]:
    """An image in which a detector finds nothing, and its name.

    Returns:
        the first of the ramp, of plain colours and of noise; if there is something in all of them,
        as with models that are not trained, the ramp with its own name.
    """
    random = np.random.default_rng(1)
    colours = [np.full((*EMPTY, 3), grey, np.uint8) for grey in (0, 255, 128)]
    noise = random.integers(0, 256, (*EMPTY, 3), dtype=np.uint8)
    for image in (ramp(), *colours, noise):
        with torch.no_grad():
            found: Any = predictor(Image.fromarray(image))
        if not len(found):
            return WITHOUT, image
    return RAMP, ramp()


def notes(
    differences: Sequence[Difference], metadata: Metadata, precision: str = FLOAT32
) -> list[str]:
    """What a reader of the rows has to know, in sentences."""
    if metadata.kind == "semantic":
        return []
    found = []
    if LIMITS[precision].least:
        found.append(
            f"In {precision}, objects of scores below {LIMITS[precision].least} were not compared, "
            "and others more loosely: evaluate the file on your data as well."
        )
    if any(x.unsteady for x in differences):
        found.append(
            "Unsteady objects differ, but they move or go in the model itself, too, when its "
            f"layers' outputs change by {CHANGE:.0e} of their values: the last digits decide, as "
            "in heatmaps without a clear peak. Training makes objects steady."
        )
    if any(x.name == RAMP for x in differences):
        found.append(
            "The model finds objects even in plain images and in noise: none without objects was "
            "compared."
        )
    if not any(x.compared for x in differences):
        found.append(
            "No object could be compared: give images with objects, --verify IMAGE…, or a trained "
            "model."
        )
    return found


def compare(
    name: str,
    image: np.ndarray,
    outputs: Outputs,
    predictor: Predictor,
    metadata: Metadata,
    limits: Limits = LIMITS[FLOAT32],
) -> Difference:
    """The difference of a file's outputs and a model's results for an image (H, W, 3) uint8 RGB."""
    with torch.no_grad():
        expected: Any = predictor(Image.fromarray(image))
    if metadata.kind == "semantic":
        return _labels(name, image, outputs["labels"], expected.numpy(), predictor, limits)
    return _instances(name, image, outputs, expected, predictor, metadata, limits)


def _labels(
    name: str,
    image: np.ndarray,
    labels: np.ndarray,
    truth: np.ndarray,
    predictor: Predictor,
    limits: Limits,
) -> Difference:
    size = (image.shape[0], image.shape[1])
    if labels.shape != truth.shape:
        return Difference(name, size, len(np.unique(truth)), wrong=1, pixels=1.0)
    differing = labels != truth
    share, wrong = float(differing.mean()), 0
    if share > limits.pixels:
        wrong = int((differing & steady_pixels(predictor, image, truth)).mean() > limits.pixels)
    return Difference(name, size, len(np.unique(truth)), wrong, pixels=share)


def _instances(
    name: str,
    image: np.ndarray,
    outputs: Outputs,
    expected: Any,
    predictor: Predictor,
    metadata: Metadata,
    limits: Limits,
) -> Difference:
    size = (image.shape[0], image.shape[1])
    truth, found = of_model(expected), of_file(outputs, metadata, size)
    pairs = deviation(truth, found, limits)
    # Where the list is full or the threshold cuts, rounding decides who is in.
    edge = metadata.score_threshold
    if max(len(found.scores), len(truth.scores)) == metadata.max_detections:
        edge = max(edge, min(found.scores.min(initial=1.0), truth.scores.min(initial=1.0)))
    edge = max(edge, limits.least) + limits.scores
    alone = np.setdiff1d(np.flatnonzero(truth.scores > edge), pairs.first)
    extra = np.setdiff1d(np.flatnonzero(found.scores > edge), pairs.second)
    extra = extra[~elsewhere(truth.at(alone), found.at(extra), limits)]
    counts = truth.scores[pairs.first] >= limits.least
    other = np.concatenate((pairs.first[counts & ~pairs.small(limits)], alone))
    wrong = total = len(other) + len(extra)
    if total:
        steady, unseen = steady_objects(predictor, image, truth, other, found.at(extra), limits)
        wrong = int(steady.sum() + unseen.sum())
    return Difference(
        name,
        size,
        len(truth.scores),
        wrong,
        total - wrong,
        float(pairs.boxes[counts].max(initial=0)),
        float(pairs.scores[counts].max(initial=0)),
        float(pairs.pixels[counts].max(initial=0)),
    )
