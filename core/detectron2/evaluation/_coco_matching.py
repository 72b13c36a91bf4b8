"""COCO's matching of detections to ground truth, on all thresholds and area ranges at once.

pycocotools walks over every (category, area range, image) and, inside, over every threshold and
every pair in Python. Most of these are empty, and the greedy choice is the same arithmetic for all
thresholds: here only pairs of image and category that hold something are visited, and one step of
the greedy choice is a few array operations. Overlaps, preparation and the precision-recall curves
stay pycocotools' own.

Shapes: A area ranges, T overlap thresholds, D detections, G ground truths of one image and
category.
"""

from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval


class VectorizedCOCOeval(COCOeval):
    """``COCOeval`` for boxes and masks with the same numbers in less time.

    ``evalImgs`` holds what ``accumulate`` reads: scores, matches and ignore flags. One difference:
    a ground truth with id 0 counts as a match like any other.
    """

    def evaluate(self) -> None:
        """Match the detections of every image; fills ``ious`` and ``evalImgs``."""
        params = self.params
        if not params.useCats:  # matching across categories: rare, left to pycocotools
            super().evaluate()
            return
        params.imgIds = np.unique(params.imgIds).tolist()
        params.catIds = np.unique(params.catIds).tolist()
        params.maxDets = sorted(params.maxDets)
        self._prepare()

        num_images, num_areas = len(params.imgIds), len(params.areaRng)
        image_position = {image: i for i, image in enumerate(params.imgIds)}
        category_position = {category: i for i, category in enumerate(params.catIds)}
        occupied = [
            pair for held in (self._gts, self._dts) for pair, items in held.items() if items
        ]
        self.ious = {}
        self.evalImgs: list[Any] = [None] * (len(params.catIds) * num_areas * num_images)
        for image, category in dict.fromkeys(occupied):
            self.ious[image, category] = self.computeIoU(image, category)
            first = category_position[category] * num_areas * num_images + image_position[image]
            for area, entry in enumerate(self._match_pair(image, category)):
                self.evalImgs[first + area * num_images] = entry
        self._paramsEval = params

    def _match_pair(self, image: int, category: int) -> list[dict[str, Any]]:
        """The entries of one image and category, one for each area range."""
        params = self.params
        truths, detections = self._gts[image, category], self._dts[image, category]
        scores = np.array([d["score"] for d in detections], dtype=np.float64)
        order = np.argsort(-scores, kind="mergesort")[: params.maxDets[-1]]
        scores = scores[order]
        truth_ignored = _outside([t["area"] for t in truths], params.areaRng)
        truth_ignored |= np.array([t["ignore"] for t in truths], dtype=bool)
        detection_outside = _outside([detections[i]["area"] for i in order], params.areaRng)

        overlaps = np.asarray(self.ious[image, category], dtype=np.float64)
        matched, ignored = _greedy_match(
            overlaps.reshape(len(scores), len(truths)),
            truth_ignored,
            np.array([t["iscrowd"] for t in truths], dtype=bool),
            np.minimum(params.iouThrs, 1 - 1e-10),
        )
        # What matches nothing and is of another size is no mistake.
        ignored |= ~matched & detection_outside[:, None]
        return [
            {
                "image_id": image,
                "category_id": category,
                "aRng": area_range,
                "maxDet": params.maxDets[-1],
                "dtScores": scores,
                "dtMatches": matched[area],
                "dtIgnore": ignored[area],
                "gtIgnore": truth_ignored[area],
            }
            for area, area_range in enumerate(params.areaRng)
        ]


def _outside(areas: list[float], ranges: list[list[float]]) -> np.ndarray:
    """(A, N) bool: whether an area lies outside each range (whose ends belong to it)."""
    bounds, values = np.asarray(ranges, dtype=np.float64), np.asarray(areas, dtype=np.float64)
    return (values < bounds[:, :1]) | (values > bounds[:, 1:])


def _greedy_match(
    overlaps: np.ndarray, ignored: np.ndarray, crowd: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give each detection, best score first, the free ground truth it overlaps most.

    A ground truth that counts is preferred to an ignored one whatever the overlaps; among equal
    overlaps the later wins; a crowd can be taken any number of times.

    Args:
        overlaps: (D, G). ignored: (A, G). crowd: (G,). thresholds: (T,).

    Returns:
        Two arrays (A, T, D) of bool: matched, and matched to an ignored ground truth.
    """
    num_detections, num_truths = overlaps.shape
    shape = (len(ignored), len(thresholds))
    matched = np.zeros((*shape, num_detections), dtype=bool)
    to_ignored = np.zeros_like(matched)
    taken = np.zeros((*shape, num_truths), dtype=bool)
    skip = ignored[:, None, :]
    reaching = overlaps.max(axis=1, initial=-1.0) >= thresholds.min()
    for d in np.flatnonzero(reaching):
        open_to = (~taken | crowd) & (overlaps[d] >= thresholds[:, None])
        counting = open_to & ~skip
        pool = np.where(counting.any(axis=-1, keepdims=True), counting, open_to)
        ranked = np.where(pool, overlaps[d], -1.0)
        choice = num_truths - 1 - ranked[..., ::-1].argmax(axis=-1)
        area, threshold = np.nonzero(pool.any(axis=-1))
        chosen = choice[area, threshold]
        taken[area, threshold, chosen] = True
        matched[area, threshold, d] = True
        to_ignored[area, threshold, d] = ignored[area, chosen]
    return matched, to_ignored
