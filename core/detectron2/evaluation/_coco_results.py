"""Predictions in COCO's results format, and the figures that ``COCOeval`` derives from them."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from detectron2.evaluation._coco_files import load_detections, require_matching
from detectron2.evaluation.fast_eval_api import COCOeval_opt
from detectron2.structures import BoxMode, Instances

MAX_DETECTIONS = 100  # COCO's own limit of detections an image


def instances_to_coco_json(instances: Instances, img_id: int) -> list[dict[str, Any]]:
    """The predictions of one image in COCO's results format, with contiguous classes.

    Args:
        instances: on the CPU, with ``pred_boxes`` (x0, y0, x1, y1), ``scores``, ``pred_classes``
            and optionally ``pred_masks``, (N, H, W) bool.
        img_id: the image's id.

    Returns:
        N dicts with ``image_id``, ``category_id``, ``bbox`` (x, y, width, height), ``score`` and,
        with masks, ``segmentation`` (compressed run lengths as text).
    """
    if len(instances) == 0:
        return []
    corners = instances.pred_boxes.tensor
    boxes = BoxMode.convert(corners, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS).tolist()
    columns = zip(instances.pred_classes.tolist(), boxes, instances.scores.tolist(), strict=True)
    results = [
        {"image_id": img_id, "category_id": category, "bbox": box, "score": score}
        for category, box, score in columns
    ]
    if instances.has("pred_masks"):
        for result, mask in zip(results, instances.pred_masks, strict=True):
            pixels = np.asfortranarray(mask.numpy(), dtype=np.uint8)
            run_lengths = mask_util.encode(pixels)
            # Text, because json has no bytes.
            result["segmentation"] = {**run_lengths, "counts": run_lengths["counts"].decode()}
    return results


def _evaluate_predictions_on_coco(
    coco_gt: COCO,
    coco_results: list[dict[str, Any]],
    iou_type: str,
    cocoeval_fn: type[COCOeval] = COCOeval_opt,
    img_ids: Sequence[int] | None = None,
    max_dets_per_image: Sequence[int] | None = None,
) -> COCOeval:
    """Match and accumulate one task; ``eval["precision"]`` of the answer has the curves.

    Args:
        coco_gt: the ground truth.
        coco_results: predictions in COCO's results format; they are not changed.
        iou_type: "bbox" or "segm".
        cocoeval_fn: ``COCOeval`` or a subclass.
        img_ids: the images that count; by default all.
        max_dets_per_image: three limits on the detections, the largest of them for AP.
    """
    require_matching(coco_gt, coco_results, iou_type)
    fast = issubclass(cocoeval_fn, COCOeval_opt)
    with contextlib.redirect_stdout(io.StringIO()):
        detections = coco_results if fast else load_detections(coco_gt, coco_results, iou_type)
        coco_eval = cocoeval_fn(coco_gt, detections, iou_type)
        coco_eval.params.maxDets = list(max_dets_per_image or (1, 10, MAX_DETECTIONS))
        if img_ids is not None:
            coco_eval.params.imgIds = list(img_ids)
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    return coco_eval


def _mean_precision(precision: np.ndarray) -> float:
    """The mean, in per cent, of the entries that have ground truth; nan if there is none."""
    counted = precision[precision > -1]
    return float(100 * counted.mean()) if counted.size else float("nan")


def _columns(by_class: dict[str, float], num_pairs: int = 3) -> str:
    """A table of (class, AP) with a few pairs of columns beside each other."""
    cells = [cell for name, value in by_class.items() for cell in (name, f"{value:.3f}")]
    width = min(2 * num_pairs, len(cells))
    rows = [cells[start : start + width] for start in range(0, len(cells), width)]
    header = ["category", "AP"] * (width // 2)
    return tabulate(rows, headers=header, tablefmt="pipe", numalign="left")
