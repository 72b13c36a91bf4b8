"""A region proposal network with a fixed number of proposals, for exported programs.

Shapes: A anchors of a level, k of them before suppression, R proposals.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .suppression import clipped, finite, kept_by_nms, larger_than

LOWEST = float("-inf")


class FixedProposals(nn.Module):
    """The same proposals as an RPN's at inference, in the same order, and what fills up.

    Args:
        rpn: Detectron2's, whose parts are used.
    """

    def __init__(self, rpn: Any) -> None:
        super().__init__()
        self.rpn = rpn.eval()
        self.before = int(rpn.pre_nms_topk[False])
        self.after = int(rpn.post_nms_topk[False])

    def forward(self, features: dict[str, Tensor], size: Any) -> tuple[Tensor, Tensor]:
        """Propose.

        Args:
            features: name -> (1, C, H, W).
            size: height and width of the network's input, without padding.

        Returns:
            boxes (R, 4) in pixels of the network's input, and which are proposals: (R,) bool.
        """
        maps: Sequence[Tensor] = [features[name] for name in self.rpn.in_features]
        anchors = [level.tensor for level in self.rpn.anchor_generator(maps)]
        levels = zip(anchors, *self.rpn.rpn_head(maps), strict=True)
        found = [self._level(*level, size) for level in levels]
        boxes, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
        best, order = scores.topk(min(self.after, self.before * len(found)))
        return boxes.index_select(0, order), best > LOWEST

    def _level(
        self, anchors: Tensor, logits: Tensor, deltas: Tensor, size: Any
    ) -> tuple[Tensor, Tensor]:
        """The k best of a level after suppression, and their logits; LOWEST for the others."""
        logits = logits[0].permute(1, 2, 0).flatten().float()
        deltas = deltas[0].unflatten(0, (-1, 4)).permute(2, 3, 0, 1).flatten(0, 2)
        # However small the map is, so many can be taken.
        filled = F.pad(logits, (0, self.before), value=LOWEST)
        scores, order = filled.topk(self.before)
        order = order.clamp(max=logits.shape[0] - 1)
        chosen = anchors.index_select(0, order)
        boxes = self.rpn.box2box_transform.apply_deltas(deltas.index_select(0, order), chosen)
        usable = finite(boxes) & (scores.abs() < float("inf"))
        boxes = clipped(torch.where(usable[:, None], boxes, 0.0), size)
        usable = usable & larger_than(boxes, self.rpn.min_box_size)
        usable = kept_by_nms(boxes, scores, usable, self.rpn.nms_thresh)
        return boxes, torch.where(usable, scores, LOWEST)
