"""Region-based detectors with outputs of fixed sizes and no choices by value, for exports.

Shapes: an image of H x W pixels; R proposals, K classes; D detections, always as many as the model
finds at most; masks of M x M cells.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from detectron2.structures import Instances
from projects_ext.errors import UserError
from projects_ext.grid_rcnn.roi_heads import GridROIHeads
from projects_ext.layers.grid_points import decode_boxes

from .box_branches import last_predictor, require_known, score
from .pooling import pool
from .proposals import FixedProposals
from .suppression import NONE, apart, as_number, clipped, finite, kept_by_nms, larger_than

CANDIDATES = 20
"""Of every detection, pairs of a proposal and a class among which suppression chooses.

Greedy suppression keeps the same of the best pairs however many worse ones there are. Results can
differ from the model's only where fewer than D of so many pairs are left.
"""

Preprocess = Callable[[Tensor], tuple[Tensor, Any]]
"""(H, W, 3) uint8 RGB -> the network's input (1, 3, H', W'), normalised and padded, and its height
and width without padding."""


class Found(NamedTuple):
    """Detections by falling score; NONE where there is none.

    Attributes:
        boxes: (D, 4) in pixels of the network's input.
        scores: (D,).
        classes: (D,) int64.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor

    def best(self, usable: Tensor, count: int) -> "Found":
        """The first ``count``; those that are not usable come last."""
        scores, order = torch.where(usable, self.scores, NONE).topk(count)
        return Found(self.boxes.index_select(0, order), scores, self.classes.index_select(0, order))


class FixedRCNN(nn.Module):
    """From an image to as many detections as the model finds at most, and how many there are.

    The same detections as the model's own, in the same order, at the image's size. Masks are
    probabilities on the boxes' cells; ``projects_ext.deploy.paste.paste_in_boxes`` brings them to
    the image.

    Args:
        model: a ``GeneralizedRCNN``, whose parts are used.
        preprocess: what lies before the network.

    Raises:
        UserError: a model with parts that have no such program.

    Attributes:
        OUTPUTS: names of the outputs, in order.
    """

    mask_stride = 0
    """Masks are those of boxes."""

    def __init__(self, model: Any, preprocess: Preprocess) -> None:
        super().__init__()
        require_known(model.roi_heads)
        if model.proposal_generator is None:
            raise UserError("a model without a proposal generator cannot be exported: give it one")
        self.model, self.preprocess = model.eval(), preprocess
        self.proposals = FixedProposals(model.proposal_generator)
        self.limit = int(last_predictor(model.roi_heads).test_topk_per_image)
        self.has_masks = bool(getattr(model.roi_heads, "mask_on", False))
        masks = ("masks",) if self.has_masks else ()
        self.OUTPUTS = ("boxes", "scores", "classes", *masks, "count")

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            boxes (D, 4) in pixels of the image, scores (D,) by falling score and -1 from ``count``
            on, classes (D,) int64, masks (D, M, M) if the model has masks, count () int64.
        """
        padded, size = self.preprocess(image)
        features = self.model.backbone(padded)
        heads = self.model.roi_heads
        boxes, present = self.proposals(features, size)
        maps = [features[name] for name in heads.box_in_features]
        found = self._detect(*score(heads, maps, boxes, size), present, size)
        if isinstance(heads, GridROIHeads):
            found = _refined(heads, features, found, size)
        scale = _scale(image.shape[:2], size, found.boxes)
        usable = larger_than(clipped(found.boxes * scale, image.shape[:2]))
        found = found.best(usable, len(found.scores))
        at_image = clipped(found.boxes * scale, image.shape[:2])
        masks = (_masks(heads, features, found),) if self.has_masks else ()
        return at_image, found.scores, found.classes, *masks, (found.scores > NONE).sum()

    def _detect(self, boxes: Tensor, scores: Tensor, present: Tensor, size: Any) -> Found:
        """From boxes (R, Kr, 4) and probabilities (R, K) to D detections."""
        predictor = last_predictor(self.model.roi_heads)
        present = present & finite(boxes.flatten(1)) & finite(scores)
        scores = torch.where(present[:, None], scores, NONE)
        pairs, classes = scores.numel(), scores.shape[1]
        limit = min(self.limit, pairs) if self.limit >= 0 else pairs
        best, order = scores.flatten().topk(min(CANDIDATES * limit, pairs))
        rows = torch.div(order, classes, rounding_mode="floor")
        label = order - rows * classes
        place = rows if boxes.shape[1] == 1 else order
        chosen = clipped(boxes.flatten(0, 1).index_select(0, place), size)
        usable = best > max(predictor.test_score_thresh, NONE)
        chosen = torch.where(usable[:, None], chosen, 0.0)
        kept = kept_by_nms(apart(chosen, label), best, usable, predictor.test_nms_thresh)
        return Found(chosen, best, label).best(kept, limit)


def _scale(wanted: Any, size: Any, like: Tensor) -> Tensor:
    """What brings boxes from the network's input to the image: (4,)."""
    down, across = (
        as_number(new, like) / as_number(old, like) for new, old in zip(wanted, size, strict=True)
    )
    return torch.stack((across, down, across, down))


def _refined(heads: Any, features: dict[str, Tensor], found: Found, size: Any) -> Found:
    """Grid R-CNN's own corners."""
    maps = [features[name] for name in heads.grid_in_features]
    heatmaps = heads.grid_head(pool(heads.grid_pooler, maps, found.boxes)).fused
    boxes = decode_boxes(found.boxes, heatmaps.float().sigmoid())
    return found._replace(boxes=clipped(boxes, size))


def _masks(heads: Any, features: dict[str, Tensor], found: Found) -> Tensor:
    """(D, M, M) probabilities of the detections' classes."""
    maps = [features[name] for name in heads.mask_in_features]
    regions = pool(heads.mask_pooler, maps, found.boxes)
    instances = Instances((0, 0))
    instances.pred_classes = found.classes
    return heads.mask_head(regions, [instances])[0].pred_masks[:, 0]
