"""From scored boxes to proposals: ranking, suppression, and the ground truth as extra proposals.

Shape legend: N images, L feature levels, Ai anchors on level i, R boxes of an image.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from detectron2.layers import batched_nms
from detectron2.layers.wrappers import cat, move_device_like  # noqa: F401
from detectron2.structures import Boxes, Instances

# Ground truth boxes enter as proposals of this objectness probability.
_GROUND_TRUTH_PROBABILITY = 1.0 - 1e-10


def _is_tracing() -> bool:
    """Whether ``torch.jit.trace`` is recording."""
    if torch.jit.is_scripting():  # in a branch of its own: TorchScript cannot compile the other
        return False
    return torch.jit.is_tracing()


def _best_of_each_level(
    boxes: list[Tensor], logits: list[Tensor], limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``limit`` best of every level: (N, K, 4) boxes, (N, K) logits, (K,) level indices."""
    kept_boxes: list[Tensor] = []
    kept_logits: list[Tensor] = []
    kept_levels: list[Tensor] = []
    for level, (level_boxes, level_logits) in enumerate(zip(boxes, logits)):  # noqa: B905
        count = level_logits.shape[1]
        if _is_tracing():  # noqa: SIM108 (TorchScript compiles one of two statements only)
            # A tensor, which the trace computes anew for every image.
            count = torch.as_tensor(count).clamp(max=limit)  # type: ignore[assignment]
        else:
            count = min(limit, count)
        top_logits, order = level_logits.topk(count, dim=1)
        kept_logits.append(top_logits)
        # No take_along_dim: not every exporter has it.
        kept_boxes.append(level_boxes.gather(1, order[..., None].expand(-1, -1, 4)))
        kept_levels.append(torch.full_like(order[0], level))
    return torch.cat(kept_boxes, dim=1), torch.cat(kept_logits, dim=1), torch.cat(kept_levels)


def _drop_non_finite(
    boxes: Tensor, logits: Tensor, levels: Tensor, training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    finite = boxes.isfinite().all(dim=1) & logits.isfinite()
    # A trace would keep the answer for its own image.
    if not _is_tracing() and bool(finite.all()):
        return boxes, logits, levels
    if training:
        raise FloatingPointError(
            "Predicted boxes or scores contain Inf/NaN. Training has diverged: lower the learning "
            "rate, lengthen the warm-up or clip the gradients."
        )
    return boxes[finite], logits[finite], levels[finite]


def find_top_rpn_proposals(
    proposals: list[Tensor], pred_objectness_logits: list[Tensor],
    image_sizes: list[tuple[int, int]], nms_thresh: float, pre_nms_topk: int, post_nms_topk: int,
    min_box_size: float, training: bool,
) -> list[Instances]:  # fmt: skip
    """Rank, clip and suppress the decoded boxes of a region proposal network.

    Per level and image the ``pre_nms_topk`` best boxes go on; they are clipped to the image, those
    with a side not over ``min_box_size`` are dropped, and boxes of the *same level* suppress each
    other. The ``post_nms_topk`` best of all levels together are the proposals.

    Args:
        proposals: L tensors (N, Ai, 4) of boxes in x0, y0, x1, y1 pixels.
        pred_objectness_logits: L tensors (N, Ai).
        image_sizes: N pairs (height, width) in pixels, before padding.
        nms_thresh: IoU over which the lower-scored of two boxes is dropped.
        pre_nms_topk: per level, before suppression.
        post_nms_topk: per image, after suppression.
        min_box_size: in pixels of the network's input.
        training: decides what non-finite predictions mean.

    Returns:
        N Instances with ``proposal_boxes`` and ``objectness_logits``, best first.

    Raises:
        FloatingPointError: a box or score is not finite while training (at test time such boxes
            are left out).
    """
    boxes, logits, levels = _best_of_each_level(proposals, pred_objectness_logits, pre_nms_topk)
    results: list[Instances] = []
    # As many as there are sizes: padding of the batch may follow the images.
    for image, size in enumerate(image_sizes):
        coordinates, scores, level = _drop_non_finite(boxes[image], logits[image], levels, training)
        clipped = Boxes(coordinates)
        clipped.clip(size)
        large = clipped.nonempty(threshold=min_box_size)
        clipped, scores, level = clipped[large], scores[large], level[large]
        # The levels compete for the places that are left: the cut is per image, not per level.
        keep = batched_nms(clipped.tensor, scores, level, nms_thresh)[: int(post_nms_topk)]
        results.append(
            Instances(size, proposal_boxes=clipped[keep], objectness_logits=scores[keep])
        )
    return results


def add_ground_truth_to_proposals(
    gt: Sequence[Instances | Boxes], proposals: list[Instances]
) -> list[Instances]:
    """Append every image's ground truth boxes to its proposals, with an objectness near 1.

    Early in training hardly any proposal overlaps an object; the appended boxes make sure that
    the second stage sees positive samples.

    Args:
        gt: N Instances with ``gt_boxes``, or N Boxes.
        proposals: N Instances with ``proposal_boxes`` and ``objectness_logits``. Any further
            field of theirs must be in ``gt`` too.

    Returns:
        N new Instances, the given proposals first.

    Raises:
        ValueError: the lists differ in length.
        AssertionError: a field of the proposals is not in ``gt``.
    """
    if len(gt) != len(proposals):
        raise ValueError(f"There are {len(proposals)} lists of proposals but {len(gt)} of targets.")
    return [
        add_ground_truth_to_proposals_single_image(one_gt, one_proposals)
        for one_gt, one_proposals in zip(gt, proposals, strict=True)
    ]


def add_ground_truth_to_proposals_single_image(
    gt: Instances | Boxes, proposals: Instances
) -> Instances:
    """:func:`add_ground_truth_to_proposals` for one image."""
    extra = Instances(proposals.image_size)
    if isinstance(gt, Boxes):
        gt_boxes = gt
    else:
        gt_boxes = gt.gt_boxes
        for name, value in gt.get_fields().items():
            extra.set(name, value)
    logit = math.log(_GROUND_TRUTH_PROBABILITY) - math.log(1.0 - _GROUND_TRUTH_PROBABILITY)
    extra.proposal_boxes = gt_boxes
    extra.objectness_logits = proposals.objectness_logits.new_full((len(gt_boxes),), logit)
    missing = [name for name in proposals.get_fields() if not extra.has(name)]
    assert not missing, f"The proposals have the fields {missing}, which the targets lack."
    return Instances.cat([proposals, extra])
