"""From the head's predictions to detections."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detectron2.layers import batched_nms
from detectron2.structures import Boxes, Instances
from projects_ext.layers import cell_centers

from .head import Predictions
from .locations import boxes_at


@dataclass(frozen=True)
class Selection:
    """Which predictions become detections.

    Attributes:
        score_thresh: the class probability has to be higher.
        topk_candidates: of a level, go into the NMS: those of the highest class probability.
        centerness_first: the class probability is multiplied by the centerness before both of that,
            and boxes are clipped to the image after the NMS, as in the original repository. Off:
            after it, and before the NMS, as in OpenMMLab's.
        score_exponent: the score is (class probability x centerness) to this power: 1 in
            OpenMMLab's experiments, 0.5 in the original ones.
        nms_thresh: IoU of the NMS within a class.
        max_detections: of an image.
    """

    score_thresh: float = 0.05
    topk_candidates: int = 1000
    centerness_first: bool = False
    score_exponent: float = 1.0
    nms_thresh: float = 0.6
    max_detections: int = 100


def detect(
    predictions: Predictions,
    strides: Sequence[int],
    image_sizes: Sequence[tuple[int, int]],
    selection: Selection,
) -> list[Instances]:
    """The detections of every image, by falling score.

    Args:
        predictions: of the head.
        strides: of its levels.
        image_sizes: height and width without padding.
        selection: what to keep.

    Returns:
        an image each: ``pred_boxes``, ``scores``, ``pred_classes``, and for the mask head
        ``points`` (I, 2), ``strides`` (I,) and ``parameters`` (I, P).
    """
    found = []
    for index, size in enumerate(image_sizes):
        levels = [
            _candidates([x[index] for x in maps], stride, size, selection)
            for maps, stride in zip(zip(*predictions, strict=True), strides, strict=True)
        ]
        candidates = Instances.cat(levels)
        keep = batched_nms(
            candidates.pred_boxes.tensor,
            candidates.scores,
            candidates.pred_classes,
            selection.nms_thresh,
        )
        best = candidates[keep[: selection.max_detections]]
        found.append(_within_image(best) if selection.centerness_first else best)
    return found


def _candidates(
    maps: Sequence[Tensor], stride: int, image_size: tuple[int, int], selection: Selection
) -> Instances:
    """The best predictions of a level, of one image's maps as :class:`Predictions` orders them."""
    logits, distances, centerness, parameters = (x.flatten(1).t() for x in maps)
    probabilities, factors = logits.float().sigmoid(), centerness.float().sigmoid()
    if selection.centerness_first:
        probabilities, factors = probabilities * factors, factors.new_ones(factors.shape)
    places, classes = (probabilities > selection.score_thresh).nonzero().unbind(dim=1)
    scores, best = _best(probabilities[places, classes], selection.topk_candidates)
    places, classes = places[best], classes[best]

    height, width = maps[0].shape[-2:]
    points = cell_centers(height, width, stride, logits.device)[places]
    product = scores * factors[places, 0]
    found = Instances(
        image_size,
        pred_boxes=Boxes(boxes_at(points, distances[places].float() * stride)),
        scores=product**selection.score_exponent,
        pred_classes=classes,
        points=points,
        strides=torch.full_like(scores, stride),
        parameters=parameters[places],
    )
    return found if selection.centerness_first else _within_image(found)


def _best(scores: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """The highest of scores (S,), ``limit`` at most, by falling score; and their indices."""
    if torch.jit.is_tracing():
        # topk's count would be that of the traced image: others would lose detections in silence.
        ordered, order = scores.sort(descending=True)
        return ordered[:limit], order[:limit]
    best = scores.topk(min(len(scores), limit))
    return best.values, best.indices


def _within_image(found: Instances) -> Instances:
    """Those whose boxes, clipped to the image, are not empty."""
    found.pred_boxes.clip(found.image_size)
    return found[found.pred_boxes.nonempty()]
