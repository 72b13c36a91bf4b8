"""Cascade R-CNN with masks, the way of OpenMMLab's experiments (arXiv 1712.00726, section 5.1)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import CascadeROIHeads, select_foreground_proposals
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_inference
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage

Losses = dict[str, Tensor]


class AveragingMaskHeads(nn.ModuleList):
    """The mask heads of a cascade's stages, which answer together at test time.

    A mask is the mean of the stages' probabilities. In training each stage's head is called on its
    own.
    """

    def forward(self, x: Tensor, instances: list[Instances]) -> list[Instances]:
        """Give predictions their masks.

        Args:
            x: (R, C, H, W) features of their regions.
            instances: predictions of N images, with ``pred_classes``.

        Returns:
            ``instances`` with ``pred_masks``.
        """
        heads: Any = self
        mean = torch.stack([head.layers(x).sigmoid() for head in heads]).mean(dim=0)
        mask_rcnn_inference(mean.logit(), instances)
        return instances


class StagewiseCascadeROIHeads(CascadeROIHeads):
    """A cascade whose stages each sample their own proposals and train their own mask head.

    Detectron2's cascade samples once, adds up the stages' losses on features whose gradient is
    scaled down, trains one mask head, and averages probabilities. Here every stage samples from the
    boxes of the one before (and the ground truth), its losses have a weight, and the class scores
    are the softmax of the stages' mean logits.

    Args:
        mask_heads: one a stage.
        stage_weights: of the stages' losses.
        arguments: of ``CascadeROIHeads``, without ``mask_head``.

    Raises:
        ValueError: there is not one mask head and one weight a stage.
    """

    def __init__(
        self,
        *,
        mask_heads: Sequence[nn.Module],
        stage_weights: Sequence[float] = (1.0, 0.5, 0.25),
        **arguments: Any,
    ) -> None:
        super().__init__(mask_head=AveragingMaskHeads(mask_heads), **arguments)
        if not len(mask_heads) == len(stage_weights) == self.num_cascade_stages:
            raise ValueError(
                f"The cascade has {self.num_cascade_stages} stages, {len(mask_heads)} mask heads "
                f"and {len(stage_weights)} weights: give one of each a stage"
            )
        self.stage_weights = tuple(stage_weights)

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], Losses]:
        """Detect, or compute the losses of all stages.

        Args:
            images: not used.
            features: name -> (N, C, H, W).
            proposals: of N images, with ``proposal_boxes`` and ``objectness_logits``.
            targets: in training, with ``gt_boxes``, ``gt_classes`` and ``gt_masks``.

        Returns:
            N predictions and nothing, or the last stage's samples and the losses, whose names end
            with ``_stage0`` and so on.

        Raises:
            ValueError: no targets in training.
        """
        if not self.training:
            return super().forward(images, features, proposals)
        if targets is None:
            raise ValueError("a cascade trains only with targets: give images with instances")
        losses: Losses = {}
        sampled = proposals
        for stage in range(self.num_cascade_stages):
            sampled = self._sample(proposals, targets, self.proposal_matchers[stage])
            stage_losses, proposals = self._train_stage(stage, features, sampled)
            losses.update({f"{name}_stage{stage}": x for name, x in stage_losses.items()})
        return sampled, losses

    def _sample(
        self, proposals: list[Instances], targets: list[Instances], matcher: Matcher
    ) -> list[Instances]:
        """Samples of every image with their targets; ``given`` marks boxes of the ground truth."""
        for candidates, truth in zip(proposals, targets, strict=True):
            logits = candidates.objectness_logits
            candidates.given = torch.zeros_like(logits, dtype=torch.bool)
            truth.given = torch.ones_like(truth.gt_classes, dtype=torch.bool)
        # ROIHeads samples with the matcher of this name.
        self.proposal_matcher = matcher
        return self.label_and_sample_proposals(proposals, targets)

    def _train_stage(
        self, stage: int, features: dict[str, Tensor], sampled: list[Instances]
    ) -> tuple[Losses, list[Instances]]:
        """The weighted losses of a stage, and the proposals of the next."""
        predictor: Any = self.box_predictor[stage]
        predictions = self._predict(stage, features, sampled)
        with get_event_storage().name_scope(f"stage{stage}"):
            losses = predictor.losses(predictions, sampled)
        losses.update(self._mask_losses(stage, features, sampled))
        weight = self.stage_weights[stage]
        boxes = predictor.predict_boxes(predictions, sampled)
        refined = self._create_proposals_from_boxes(
            [x[~y.given] for x, y in zip(boxes, sampled, strict=True)],
            [x.image_size for x in sampled],
        )
        for proposals in refined:
            proposals.objectness_logits = proposals.proposal_boxes.tensor.new_zeros(len(proposals))
        return {name: weight * loss for name, loss in losses.items()}, refined

    def _predict(
        self, stage: int, features: dict[str, Tensor], proposals: list[Instances]
    ) -> tuple[Tensor, Tensor]:
        """Class logits and box deltas of a stage, all images together."""
        maps = [features[name] for name in self.box_in_features]
        regions = self.box_pooler(maps, [x.proposal_boxes for x in proposals])
        return self.box_predictor[stage](self.box_head[stage](regions))

    def _mask_losses(
        self, stage: int, features: dict[str, Tensor], sampled: list[Instances]
    ) -> Losses:
        if not self.mask_on:
            return {}
        positive, _ = select_foreground_proposals(sampled, self.num_classes)
        maps = [features[name] for name in self.mask_in_features]
        regions = self.mask_pooler(maps, [x.proposal_boxes for x in positive])
        return self.mask_head[stage](regions, positive)

    def _forward_box(
        self, features: dict[str, Tensor], proposals: list[Instances], targets: Any = None
    ) -> list[Instances]:
        """The detections of N images; their masks come after."""
        sizes = [x.image_size for x in proposals]
        counts = [len(x) for x in proposals]
        total: Any = 0
        boxes: tuple[Tensor, ...] = ()
        for stage, predictor in enumerate(self.box_predictor):
            if stage > 0:
                proposals = self._create_proposals_from_boxes(boxes, sizes)
            predictions = self._predict(stage, features, proposals)
            boxes = predictor.predict_boxes(predictions, proposals)
            total = total + predictions[0]
        scores = (total / self.num_cascade_stages).softmax(dim=-1).split(counts)
        last: Any = self.box_predictor[-1]
        return fast_rcnn_inference(
            list(boxes),
            list(scores),
            sizes,
            last.test_score_thresh,
            last.test_nms_thresh,
            last.test_topk_per_image,
        )[0]
