"""Cascade R-CNN (Cai and Vasconcelos, https://arxiv.org/abs/1712.00726)."""

from typing import Any

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from detectron2.utils.events import get_event_storage
from detectron2.utils.unavailable import INTERNALS, unavailable

from ..box_regression import Box2BoxTransform
from ..matcher import Matcher
from ..poolers import ROIPooler
from .box_head import build_box_head
from .fast_rcnn import FastRCNNOutputLayers, fast_rcnn_inference
from .roi_heads import ROI_HEADS_REGISTRY, StandardROIHeads, _pooling_of

Predictions = tuple[Tensor, Tensor]


@ROI_HEADS_REGISTRY.register()
class CascadeROIHeads(StandardROIHeads):
    """Box heads in a row, each refining the boxes of the one before and trained at a higher IoU.

    Section 4 of the paper. The mask branch is that of :class:`StandardROIHeads`, on the sampled
    proposals while training and on the last boxes at test time.
    """

    @configurable
    def __init__(
        self, *, box_in_features: list[str], box_pooler: ROIPooler, box_heads: list[nn.Module],
        box_predictors: list[nn.Module], proposal_matchers: list[Matcher], **kwargs: Any,
    ) -> None:  # fmt: skip
        """
        Args:
            box_in_features: features for the box branch.
            box_pooler: pools them, for every stage.
            box_heads: one a stage.
            box_predictors: one a stage, class-agnostic.
            proposal_matchers: one a stage; the first one labels the sampled proposals.
            kwargs: for :class:`StandardROIHeads`, without ``proposal_matcher``.

        Raises:
            ValueError: the lists differ in length, or a ``proposal_matcher`` is given.
        """
        if "proposal_matcher" in kwargs:
            raise ValueError("CascadeROIHeads takes proposal_matchers, one a stage, in its place.")
        if not len(box_heads) == len(box_predictors) == len(proposal_matchers) > 0:
            raise ValueError(
                f"A cascade needs as many heads ({len(box_heads)}) as predictors "
                f"({len(box_predictors)}) and matchers ({len(proposal_matchers)})."
            )
        super().__init__(
            box_head=nn.ModuleList(box_heads), box_predictor=nn.ModuleList(box_predictors),
            box_in_features=box_in_features, box_pooler=box_pooler,
            proposal_matcher=proposal_matchers[0], **kwargs,
        )  # fmt: skip
        self.num_cascade_stages = len(box_heads)
        self.proposal_matchers = proposal_matchers

    @classmethod
    def from_config(  # type: ignore[override]
        cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]
    ) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL.ROI_BOX_CASCADE_HEAD`` and the usual nodes."""
        arguments = super().from_config(cfg, input_shape)
        del arguments["proposal_matcher"]
        return arguments

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        cascade = cfg.MODEL.ROI_BOX_CASCADE_HEAD
        first = cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS[0]
        if not cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG:
            raise ValueError("CascadeROIHeads needs MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG True.")
        if cascade.IOUS[0] != first:
            raise ValueError(
                f"MODEL.ROI_BOX_CASCADE_HEAD.IOUS starts with {cascade.IOUS[0]}, but proposals are "
                f"sampled at MODEL.ROI_HEADS.IOU_THRESHOLDS {first}: make them equal."
            )
        pooler, region = _pooling_of(cfg, cfg.MODEL.ROI_BOX_HEAD, input_shape)
        arguments: dict[str, Any] = {
            "box_pooler": pooler,
            "box_in_features": cfg.MODEL.ROI_HEADS.IN_FEATURES,
            "box_heads": [],
            "box_predictors": [],
            "proposal_matchers": [],
        }
        for iou, weights in zip(cascade.IOUS, cascade.BBOX_REG_WEIGHTS, strict=True):
            head = build_box_head(cfg, region)
            coder = Box2BoxTransform(weights=weights)
            predictor = FastRCNNOutputLayers(cfg, head.output_shape, box2box_transform=coder)
            arguments["box_heads"].append(head)
            arguments["box_predictors"].append(predictor)
            matcher = Matcher([iou], [0, 1], allow_low_quality_matches=False)
            arguments["proposal_matchers"].append(matcher)
        return arguments

    def forward(
        self, images: ImageList, features: dict[str, Tensor], proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:  # fmt: skip
        """See :meth:`ROIHeads.forward`; box losses carry their stage, ``_stage0`` and so on."""
        if not self.training:
            return super().forward(images, features, proposals)
        if targets is None:
            raise ValueError("RoI heads train only with targets; the inputs have no instances.")
        sampled = self.label_and_sample_proposals(proposals, targets)
        box_losses = self._forward_box(features, sampled, targets)
        return sampled, {**box_losses, **self._forward_mask(features, sampled)}

    def _forward_box(
        self, features: dict[str, Tensor], proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> Any:  # fmt: skip
        """All stages: a dict of losses while training, otherwise N Instances.

        A detection's score is the mean of the stages' scores for it; its box is that of the last
        stage.
        """
        maps = [features[name] for name in self.box_in_features]
        sizes = [x.image_size for x in proposals]
        losses: dict[str, Tensor] = {}
        scores: list[tuple[Tensor, ...]] = []
        boxes: tuple[Tensor, ...] = ()
        for stage, predictor in enumerate(self.box_predictor):
            if stage > 0:
                proposals = self._create_proposals_from_boxes(boxes, sizes)
                if self.training:
                    proposals = self._match_and_label_boxes(proposals, stage, targets or [])
            predictions = self._run_stage(maps, proposals, stage)
            boxes = predictor.predict_boxes(predictions, proposals)
            if self.training:
                with get_event_storage().name_scope(f"stage{stage}"):
                    stage_losses = predictor.losses(predictions, proposals)
                losses.update({f"{name}_stage{stage}": x for name, x in stage_losses.items()})
            else:
                scores.append(predictor.predict_probs(predictions, proposals))
        if self.training:
            return losses
        last = self.box_predictor[-1]
        means = [torch.stack(of_image).mean(dim=0) for of_image in zip(*scores, strict=True)]
        return fast_rcnn_inference(
            list(boxes), means, sizes,
            last.test_score_thresh, last.test_nms_thresh, last.test_topk_per_image,
        )[0]  # fmt: skip

    def _run_stage(
        self, features: list[Tensor], proposals: list[Instances], stage: int
    ) -> Predictions:
        """Pool the proposals from the box features and run head and predictor of ``stage``."""
        regions = self.box_pooler(features, [x.proposal_boxes for x in proposals])
        if self.training and regions.requires_grad:
            # All stages together reach the backbone with the weight of one head.
            regions.register_hook(lambda gradient: gradient / self.num_cascade_stages)
        return self.box_predictor[stage](self.box_head[stage](regions))

    @torch.no_grad()
    def _match_and_label_boxes(
        self, proposals: list[Instances], stage: int, targets: list[Instances]
    ) -> list[Instances]:
        """Give the refined boxes classes and boxes to learn, at the IoU of ``stage``; no sampling.

        Args:
            proposals: N Instances with ``proposal_boxes``; they receive ``gt_classes`` and
                ``gt_boxes``.
            stage: from 0.
            targets: N Instances with ``gt_boxes`` and ``gt_classes``.
        """
        foreground = background = 0
        for candidates, truth in zip(proposals, targets, strict=True):
            overlap = pairwise_iou(truth.gt_boxes, candidates.proposal_boxes)
            matched, labels = self.proposal_matchers[stage](overlap)
            if len(truth) > 0:
                candidates.gt_boxes = truth.gt_boxes[matched]
                classes = truth.gt_classes[matched]
                classes[labels == 0] = self.num_classes
            else:
                candidates.gt_boxes = Boxes(truth.gt_boxes.tensor.new_zeros(len(candidates), 4))
                classes = torch.full_like(matched, self.num_classes)
            candidates.gt_classes = classes
            positive = int((labels == 1).sum())
            foreground += positive
            background += labels.numel() - positive
        storage = get_event_storage()
        for name, count in (("fg", foreground), ("bg", background)):
            scalar = f"stage{stage}/roi_head/num_{name}_samples"
            storage.put_scalar(scalar, count / max(len(proposals), 1))
        return proposals

    def _create_proposals_from_boxes(
        self, boxes: list[Tensor] | tuple[Tensor, ...], image_sizes: list[tuple[int, int]]
    ) -> list[Instances]:
        """Predicted boxes (Ri, 4) of N images as the next stage's proposals, without a graph."""
        proposals = []
        for per_image, size in zip(boxes, image_sizes, strict=True):
            refined = Boxes(per_image.detach())
            refined.clip(size)
            if self.training:
                # At test time the boxes of all stages have to stay aligned with their scores.
                refined = refined[refined.nonempty()]
            proposals.append(Instances(size, proposal_boxes=refined))
        return proposals


_ScaleGradient = unavailable(__name__, INTERNALS, "_ScaleGradient")
