"""From instances and a label map to panoptic segments; PanopticFPN itself is left out."""

from typing import Any

import torch
from torch import Tensor

from detectron2.config.config import configurable  # noqa: F401
from detectron2.modeling.meta_arch.rcnn import GeneralizedRCNN  # noqa: F401
from detectron2.modeling.meta_arch.semantic_seg import build_sem_seg_head  # noqa: F401
from detectron2.modeling.postprocessing import detector_postprocess, sem_seg_postprocess  # noqa: F401
from detectron2.structures import ImageList, Instances  # noqa: F401
from detectron2.utils.unavailable import unavailable

from .build import META_ARCH_REGISTRY

__all__ = ["PanopticFPN", "combine_semantic_and_instance_outputs"]

PanopticFPN = unavailable(__name__, "panoptic segmentation", "PanopticFPN")
META_ARCH_REGISTRY.register(PanopticFPN)


def combine_semantic_and_instance_outputs(
    instance_results: Instances,
    semantic_results: Tensor,
    overlap_threshold: float,
    stuff_area_thresh: float,
    instances_score_thresh: float,
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Give every pixel to one instance or one area of stuff (Panoptic FPN, section 4).

    Instances come first, by falling score; each takes what better ones have left of its mask.

    Args:
        instance_results: with ``scores``, ``pred_classes`` and ``pred_masks`` (N, H, W).
        semantic_results: (H, W) class numbers; 0 stands for all things.
        overlap_threshold: an instance of which better ones cover a larger part is left out.
        stuff_area_thresh: classes of stuff with fewer pixels are left out.
        instances_score_thresh: instances with a lower score are left out.

    Returns:
        (H, W) int32 with the number of each pixel's segment, 0 for none; and by segment a dict with
        ``id``, ``isthing``, ``category_id``, and ``score`` and ``instance_id`` or ``area``.
    """
    panoptic = torch.zeros_like(semantic_results, dtype=torch.int32)
    segments: list[dict[str, Any]] = []
    masks = instance_results.pred_masks.to(panoptic.device, torch.bool)
    for index in torch.argsort(instance_results.scores, descending=True).tolist():
        score = float(instance_results.scores[index])
        if score < instances_score_thresh:
            break
        free = masks[index] & (panoptic == 0)
        area = int(masks[index].sum())
        if area == 0 or (area - int(free.sum())) / area > overlap_threshold:
            continue
        category = int(instance_results.pred_classes[index])
        number = len(segments) + 1
        panoptic[free] = number
        segment = {"id": number, "isthing": True, "score": score, "category_id": category}
        segments.append(segment | {"instance_id": index})
    for label in semantic_results.unique().tolist():
        free = (semantic_results == label) & (panoptic == 0)
        area = int(free.sum())
        if label == 0 or area < stuff_area_thresh:
            continue
        number = len(segments) + 1
        panoptic[free] = number
        segments.append({"id": number, "isthing": False, "category_id": label, "area": area})
    return panoptic, segments
