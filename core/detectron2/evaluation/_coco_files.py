"""COCO json files and results as pycocotools' objects: quietly, and with gaps filled in."""

import contextlib
import io
from typing import Any

from pycocotools import mask as mask_util
from pycocotools.coco import COCO


def load_ground_truth(path: str) -> COCO:
    """Index a COCO json file without pycocotools' messages; what it may lack is filled in."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
    for key, default in (("info", {}), ("licenses", [])):
        coco.dataset.setdefault(key, default)
    for annotation in coco.dataset.get("annotations", ()):
        annotation.setdefault("iscrowd", 0)
        if "area" not in annotation:
            width, height = annotation["bbox"][2:]
            has_mask = annotation.get("segmentation")
            annotation["area"] = (
                float(mask_util.area(coco.annToRLE(annotation))) if has_mask else width * height
            )
    return coco


def require_matching(coco_gt: COCO, results: list[dict[str, Any]], iou_type: str) -> None:
    """Refuse results that do not fit the ground truth or the task.

    Raises:
        ValueError: for images that the ground truth does not have, or results without masks where
            masks are evaluated.
    """
    unknown = {result["image_id"] for result in results} - coco_gt.imgs.keys()
    if unknown:
        raise ValueError(
            f"There are predictions for {len(unknown)} images, {next(iter(unknown))} among them, "
            "that the ground truth json does not have: predict on the data set that is evaluated."
        )
    if iou_type != "segm":
        return
    missing = sum("segmentation" not in result for result in results)
    if missing:
        raise ValueError(
            f"The task segm needs masks, but {missing} of {len(results)} predictions have "
            'none: leave "segm" out of the tasks or use a model with pred_masks.'
        )


def load_detections(coco_gt: COCO, results: list[dict[str, Any]], iou_type: str) -> COCO:
    """The results as a ``COCO`` object, also if there are none."""
    # With a box in it, pycocotools would take the box's area for that of the mask.
    other = "bbox" if iou_type == "segm" else "segmentation"
    results = [{k: v for k, v in result.items() if k != other} for result in results]
    if results:
        return coco_gt.loadRes(results)
    nothing = COCO()
    nothing.dataset = {**coco_gt.dataset, "annotations": []}
    nothing.createIndex()
    return nothing
