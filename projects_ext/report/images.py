"""How well each image was done, and which ones are worth a look."""

from dataclasses import dataclass

import numpy as np

from .outcomes import Kind, Outcomes


@dataclass(frozen=True)
class ImageScores:
    """Counts for N images, of detections of at least one score; (N,) each.

    Attributes:
        right: detections that find an object.
        wrong: detections that are errors.
        missed: objects that are not found.
        f1: 1 for an image without objects and without errors.
    """

    right: np.ndarray
    wrong: np.ndarray
    missed: np.ndarray
    f1: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Wrong detections and missed objects together, (N,)."""
        return self.wrong + self.missed


def image_scores(found: Outcomes, threshold: float, images: int) -> ImageScores:
    """Count by image.

    Args:
        found: what became of the detections.
        threshold: less certain detections do not count.
        images: how many there are.
    """
    is_right = (found.kind == Kind.RIGHT) & (found.score >= threshold)
    right = np.bincount(found.image[is_right], minlength=images)
    wrong = np.bincount(found.image[found.wrong(threshold)], minlength=images)
    missed = np.bincount(found.object_image[found.missed(threshold)], minlength=images)
    both = 2 * right + wrong + missed
    return ImageScores(right, wrong, missed, np.where(both, 2 * right / np.maximum(both, 1), 1.0))


def worst_images(scores: ImageScores, most: int) -> np.ndarray:
    """Numbers of images with errors, the one with most first; of equal ones the lower F1 first."""
    order = np.lexsort((scores.f1, -scores.errors))
    return order[scores.errors[order] > 0][:most]


def fair_choice(value: np.ndarray, label: np.ndarray, most: int, each: int = 4) -> np.ndarray:
    """The places of the largest values, largest first, such that no class is left out.

    Args:
        value: (N,) what to sort by.
        label: (N,) the class of each.
        most: how many are chosen.
        each: as many of every class come before what is more of one class.
    """
    order = np.argsort(-value, kind="stable")
    rank = np.zeros(len(order), dtype=int)
    seen: dict[int, int] = {}
    for place in order:
        rank[place] = seen.get(int(label[place]), 0)
        seen[int(label[place])] = rank[place] + 1
    chosen = np.lexsort((-value, rank >= each))[:most]
    return chosen[np.argsort(-value[chosen], kind="stable")]
