"""Which of a model's results are its own, and which are those of rounding.

Where two cells of a heatmap, or the scores of two boxes that overlap, are equal up to the last
digits, these decide. Two runtimes that add the same numbers in another order then differ by whole
pixels, and neither is wrong. Such results move in the model itself, too, when the numbers between
its layers change in their last digits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image

from projects_ext.prediction.predictor import Predictor

from .matching import Limits, Objects, deviation, elsewhere, of_model

CHANGE = 1e-6
"""Of a number, as a share of it (one standard deviation): some of float32's last digits."""

TRIALS = 8
"""How often the digits are changed."""


@contextmanager
def other_digits(model: Any, seed: int) -> Iterator[None]:
    """Within it, each number that a layer gives differs by a random share of it of about CHANGE.

    Layers are those that consist of no others. Changed weights or images would not do: two cells
    of a map have their weights in common, and keep their order.
    """
    random = torch.Generator().manual_seed(seed)

    def change(_module: Any, _given: Any, found: Any) -> Any:
        if not isinstance(found, torch.Tensor) or not found.is_floating_point():
            return None
        return found * (1 + CHANGE * torch.randn(found.shape, generator=random))

    layers = [part for part in model.modules() if not any(True for _ in part.children())]
    hooks = [layer.register_forward_hook(change) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def trials(predictor: Predictor, image: np.ndarray) -> Iterator[Any]:
    """What the model finds in an image (H, W, 3) uint8 RGB, each time with other last digits."""
    for seed in range(TRIALS):
        with other_digits(predictor.model, seed), torch.no_grad():
            found: Any = predictor(Image.fromarray(image))
        yield found


def steady_objects(
    predictor: Predictor,
    image: np.ndarray,
    truth: Objects,
    suspects: np.ndarray,
    extra: Objects,
    limits: Limits,
) -> tuple[np.ndarray, np.ndarray]:
    """Of objects that differ, those for which rounding is no explanation.

    Args:
        predictor: the model.
        image: (H, W, 3) uint8 RGB.
        truth: what the model finds in it.
        suspects: indices (S,) of those of them that a file has otherwise or not at all.
        extra: objects of the file that the model does not find.
        limits: of what is unchanged.

    Returns:
        which suspects the model finds unchanged in every trial (S,); and which of the extra objects
        have none of their class and score among those that are new in a trial: arrays of bool.
    """
    steady = np.ones(len(truth.scores), dtype=bool)
    unseen = np.ones(len(extra.scores), dtype=bool)
    for found in trials(predictor, image):
        objects = of_model(found)
        pairs = deviation(truth, objects, limits)
        same = pairs.small(limits)
        steady &= np.isin(np.arange(len(steady)), pairs.first[same])
        new = np.setdiff1d(np.arange(len(objects.scores)), pairs.second[same])
        unseen &= ~elsewhere(objects.at(new), extra, limits)
        if not steady[suspects].any() and not unseen.any():
            break
    return steady[suspects], unseen


def steady_pixels(predictor: Predictor, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where a model of label maps gives the same label in every trial: (H, W) bool."""
    steady = np.ones(labels.shape, dtype=bool)
    for found in trials(predictor, image):
        steady &= found.numpy() == labels
    return steady
