"""Average recall of class-agnostic box proposals on COCO ground truth."""

from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO

from detectron2.structures import Boxes, BoxMode, pairwise_iou

PROPOSAL_LIMITS = (100, 1000)  # proposals an image
AREA_RANGES = {
    "all": (0, 1e5**2),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e5**2),
}


def average_recall(
    predictions: list[dict[str, Any]], coco_gt: COCO, size: str = "all", limit: int | None = None
) -> float:
    """Mean over the overlap thresholds 0.5, 0.55, ... 0.95 of the share of objects found.

    Each object is assigned at most one proposal of its image: the pair that overlaps most first.

    Args:
        predictions: dicts with ``image_id`` and ``proposals`` (``proposal_boxes``,
            ``objectness_logits``).
        coco_gt: the ground truth; crowds do not count.
        size: a key of ``AREA_RANGES``: which objects count, by their area in the json.
        limit: use the best ``limit`` proposals of an image; by default all.

    Returns:
        The recall in [0, 1]; nan if no object counts.
    """
    low, high = AREA_RANGES[size]
    overlaps = []
    for prediction in predictions:
        annotations = coco_gt.loadAnns(
            coco_gt.getAnnIds(imgIds=prediction["image_id"], iscrowd=False)
        )
        truths = [
            BoxMode.convert(annotation["bbox"], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS)
            for annotation in annotations
            if low <= annotation["area"] <= high
        ]
        if truths:
            proposals = prediction["proposals"]
            best = proposals.objectness_logits.argsort(descending=True)[:limit]
            boxes = Boxes(torch.as_tensor(truths, dtype=torch.float32).reshape(-1, 4))
            overlaps.append(_assigned_overlaps(pairwise_iou(proposals.proposal_boxes[best], boxes)))
    if not overlaps:
        return float("nan")
    found = torch.cat(overlaps)
    thresholds = torch.arange(0.5, 0.95 + 1e-5, 0.05, dtype=torch.float32)
    return float((found >= thresholds[:, None]).float().mean())


def _assigned_overlaps(overlaps: torch.Tensor) -> torch.Tensor:
    """Overlap of each object with the proposal it is assigned; 0 where the proposals ran out.

    Args:
        overlaps: (proposals, objects).
    """
    left = overlaps.numpy().copy()
    assigned = np.zeros(left.shape[1], dtype=np.float32)
    for _ in range(min(left.shape)):
        proposal, truth = np.unravel_index(left.argmax(), left.shape)
        assigned[truth] = left[proposal, truth]
        left[proposal, :] = left[:, truth] = -1
    return torch.from_numpy(assigned)
