"""What is read from a box predictor's output: the detections, and how many classes are right.

Shape legend: R proposals of a batch, Ri of image i, K foreground classes (class K is background),
Kr = K, or 1 for class-agnostic regression.
"""

import torch
from torch import Tensor

from detectron2.layers import batched_nms
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage


def split_by_image(rows: Tensor, instances: list[Instances]) -> list[Tensor]:
    """The rows of each image, one of each instance.

    Those of a single image stay whole: a traced program would keep the count of its own image.
    """
    if len(instances) == 1:
        return [rows]
    return list(rows.split([len(per_image) for per_image in instances]))


def fast_rcnn_inference(
    boxes: list[Tensor], scores: list[Tensor], image_shapes: list[tuple[int, int]],
    score_thresh: float, nms_thresh: float, topk_per_image: int,
) -> tuple[list[Instances], list[Tensor]]:  # fmt: skip
    """:func:`fast_rcnn_inference_single_image` for every image of a batch.

    Args:
        boxes: N tensors (Ri, Kr * 4) in pixels.
        scores: N tensors (Ri, K + 1), background last.
        image_shapes: N pairs (height, width).
        score_thresh: detections need a higher score.
        nms_thresh: IoU over which the lower-scored of two boxes of a class is dropped.
        topk_per_image: detections kept; negative for all.

    Returns:
        N Instances, and N tensors of the proposals' indices that they come from.
    """
    detections: list[Instances] = []
    sources: list[Tensor] = []
    for b, s, size in zip(boxes, scores, image_shapes):  # noqa: B905 (for TorchScript)
        found, source = fast_rcnn_inference_single_image(
            b, s, size, score_thresh, nms_thresh, topk_per_image
        )
        detections.append(found)
        sources.append(source)
    return detections, sources


def fast_rcnn_inference_single_image(
    boxes: Tensor, scores: Tensor, image_shape: tuple[int, int], score_thresh: float,
    nms_thresh: float, topk_per_image: int,
) -> tuple[Instances, Tensor]:  # fmt: skip
    """Turn every (proposal, class) pair with a high score into a candidate, and apply NMS by class.

    Args:
        boxes: (Ri, Kr * 4) in pixels.
        scores: (Ri, K + 1), background last.
        image_shape: (height, width); boxes are clipped to it.
        score_thresh: as the following, see :func:`fast_rcnn_inference`.
        nms_thresh: IoU.
        topk_per_image: detections kept; negative for all.

    Returns:
        Instances with ``pred_boxes``, ``scores`` and ``pred_classes``, best first, and for each
        the row of ``boxes`` that it comes from. Rows that are not finite are left out.
    """
    usable = (boxes.isfinite().all(dim=1) & scores.isfinite().all(dim=1)).nonzero().flatten()
    by_class = scores[usable, :-1]
    clipped = Boxes(boxes[usable].reshape(-1, 4))
    clipped.clip(image_shape)
    coordinates = clipped.tensor.view(-1, boxes.shape[1] // 4, 4)
    row, label = (by_class > score_thresh).nonzero().unbind(1)
    confidence = by_class[row, label]
    # A class-agnostic box is the same for every class.
    column = label if coordinates.shape[1] > 1 else torch.zeros_like(label)
    candidates = coordinates[row, column]
    keep = batched_nms(candidates, confidence, label, nms_thresh)
    if topk_per_image >= 0:
        keep = keep[:topk_per_image]
    found = Instances(
        image_shape, pred_boxes=Boxes(candidates[keep]), scores=confidence[keep],
        pred_classes=label[keep],
    )  # fmt: skip
    return found, usable[row[keep]]


def _log_classification_stats(
    pred_logits: Tensor, gt_classes: Tensor, prefix: str = "fast_rcnn"
) -> None:
    """Put accuracies of the arg-max class (R, K + 1 logits) into the event storage."""
    total = gt_classes.numel()
    if total == 0:
        return
    background = pred_logits.shape[1] - 1
    guess = pred_logits.argmax(dim=1)
    foreground = (gt_classes >= 0) & (gt_classes < background)
    right = guess == gt_classes
    storage = get_event_storage()
    storage.put_scalar(f"{prefix}/cls_accuracy", right.sum().item() / total)
    objects = int(foreground.sum())
    if objects > 0:
        missed = guess[foreground] == background
        accuracy = right[foreground].sum().item() / objects
        storage.put_scalar(f"{prefix}/fg_cls_accuracy", accuracy)
        storage.put_scalar(f"{prefix}/false_negative", missed.sum().item() / objects)
