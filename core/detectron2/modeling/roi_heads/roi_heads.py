"""The second stage as a whole: sample proposals, pool their features, run the heads.

Shape legend: N images, Ri proposals of image i.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.layers.wrappers import nonzero_tuple  # noqa: F401
from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet  # noqa: F401
from detectron2.modeling.roi_heads.keypoint_head import build_keypoint_head  # noqa: F401
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from detectron2.utils.events import get_event_storage
from detectron2.utils.unavailable import unavailable

from ..matcher import Matcher
from ..poolers import ROIPooler
from ..proposal_generator.proposal_utils import add_ground_truth_to_proposals
from ..sampling import subsample_labels
from ._regions import _assigned_targets, _pooling_of, select_foreground_proposals
from .box_head import build_box_head
from .build import ROI_HEADS_REGISTRY
from .build import build_roi_heads as build_roi_heads
from .fast_rcnn import FastRCNNOutputLayers
from .mask_head import build_mask_head


class ROIHeads(nn.Module):
    """Base class of second stages: matches and samples proposals; a subclass has the heads."""

    @configurable
    def __init__(
        self, *, num_classes: int, batch_size_per_image: int, positive_fraction: float,
        proposal_matcher: Matcher | None, proposal_append_gt: bool = True,
    ) -> None:  # fmt: skip
        """
        Args:
            num_classes: foreground classes; class index ``num_classes`` is background.
            batch_size_per_image: proposals sampled for training.
            positive_fraction: at most this part of the sample is foreground.
            proposal_matcher: labels proposals by their IoU with the ground truth.
            proposal_append_gt: whether ground truth boxes are proposals too while training.
        """
        super().__init__()
        self.num_classes = num_classes
        self.proposal_matcher = proposal_matcher
        self.proposal_append_gt = proposal_append_gt
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL.ROI_HEADS``."""
        heads = cfg.MODEL.ROI_HEADS
        matcher = Matcher(heads.IOU_THRESHOLDS, heads.IOU_LABELS, allow_low_quality_matches=False)
        return {
            "proposal_matcher": matcher,
            "proposal_append_gt": heads.PROPOSAL_APPEND_GT,
            "num_classes": heads.NUM_CLASSES,
            "positive_fraction": heads.POSITIVE_FRACTION,
            "batch_size_per_image": heads.BATCH_SIZE_PER_IMAGE,
        }

    def _sample_proposals(
        self, matched_idxs: Tensor, matched_labels: Tensor, gt_classes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Label an image's proposals with classes and draw the training sample.

        Args:
            matched_idxs: (R,) index of each proposal's ground truth box.
            matched_labels: (R,) the matcher's verdict: 1, 0 (background) or -1 (ignore).
            gt_classes: (M,) classes of the ground truth boxes.

        Returns:
            indices of the sample, foreground first, and its classes.
        """
        if gt_classes.numel() == 0:
            classes = torch.full_like(matched_idxs, self.num_classes)
        else:
            classes = gt_classes[matched_idxs]
            classes[matched_labels == 0] = self.num_classes
            classes[matched_labels == -1] = -1
        picked = subsample_labels(
            classes, self.batch_size_per_image, self.positive_fraction, self.num_classes
        )
        sample = torch.cat(picked)
        return sample, classes[sample]

    @torch.no_grad()
    def label_and_sample_proposals(
        self, proposals: list[Instances], targets: list[Instances]
    ) -> list[Instances]:
        """Choose the proposals that train, and give them their targets.

        Args:
            proposals: N Instances with ``proposal_boxes`` and ``objectness_logits``.
            targets: N Instances with ``gt_boxes``, ``gt_classes`` and any further ``gt_*`` fields.

        Returns:
            N Instances of at most ``batch_size_per_image`` proposals, with ``gt_classes``
            (``num_classes`` for background) and the ``gt_*`` fields of their matched targets.
            Proposals of an image without objects have ``gt_classes`` only.
        """
        if self.proposal_matcher is None:
            raise ValueError(
                "These RoI heads were built without a proposal_matcher: they cannot train."
            )
        if self.proposal_append_gt:
            proposals = add_ground_truth_to_proposals(targets, proposals)
        sampled, foreground, background = [], 0, 0
        for candidates, truth in zip(proposals, targets, strict=True):
            overlap = pairwise_iou(truth.gt_boxes, candidates.proposal_boxes)
            matched, labels = self.proposal_matcher(overlap)
            sample, classes = self._sample_proposals(matched, labels, truth.gt_classes)
            chosen = candidates[sample]
            chosen.gt_classes = classes
            if len(truth) > 0:
                for name, value in _assigned_targets(truth, matched[sample], chosen).items():
                    chosen.set(name, value)
            count = int((classes == self.num_classes).sum())
            background += count
            foreground += len(classes) - count
            sampled.append(chosen)
        storage = get_event_storage()
        storage.put_scalar("roi_head/num_fg_samples", foreground / max(len(sampled), 1))
        storage.put_scalar("roi_head/num_bg_samples", background / max(len(sampled), 1))
        return sampled

    def forward(
        self, images: ImageList, features: dict[str, Tensor], proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:  # fmt: skip
        """Losses while training, predictions otherwise.

        Args:
            images: the N input images.
            features: name -> (N, C, H, W).
            proposals: N Instances with ``proposal_boxes`` in pixels of the network's input.
            targets: N Instances with ``gt_boxes``, ``gt_classes`` and what the heads need; in
                training mode only.

        Returns:
            in training mode the sampled proposals and a dict of losses; otherwise N Instances of
            predictions and an empty dict.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward().")


@ROI_HEADS_REGISTRY.register()
class StandardROIHeads(ROIHeads):
    """Independent box and mask branches: each pools its own features of the same proposals.

    A subclass changes a branch by overriding ``_forward_box`` or ``_forward_mask``, and what the
    YAML config builds by overriding ``_init_box_head`` or ``_init_mask_head``.
    """

    mask_on: torch.jit.Final[bool]  # what it rules out is not compiled

    @configurable
    def __init__(
        self, *, box_in_features: list[str], box_pooler: ROIPooler, box_head: nn.Module,
        box_predictor: nn.Module, mask_in_features: list[str] | None = None,
        mask_pooler: ROIPooler | None = None, mask_head: nn.Module | None = None,
        keypoint_in_features: list[str] | None = None, keypoint_pooler: ROIPooler | None = None,
        keypoint_head: nn.Module | None = None, train_on_pred_boxes: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        """
        Args:
            box_in_features: features for the box branch.
            box_pooler: pools them.
            box_head: pooled regions -> box features.
            box_predictor: box features -> classes and deltas, see :class:`FastRCNNOutputLayers`.
            mask_in_features: features for the mask branch; None for a detector without masks.
            mask_pooler: pools them; None where the head takes whole feature maps.
            mask_head: pooled regions -> masks, see :class:`BaseMaskRCNNHead`.
            keypoint_in_features: has to be None (as the next two): keypoints are not supported.
            keypoint_pooler: None.
            keypoint_head: None.
            train_on_pred_boxes: train the mask branch on the boxes that the box branch predicts.
            kwargs: for :class:`ROIHeads`.

        Raises:
            NotImplementedError: a keypoint argument is given.
        """
        super().__init__(**kwargs)
        if any(x is not None for x in (keypoint_in_features, keypoint_pooler, keypoint_head)):
            raise NotImplementedError(
                "detectron2-core has no keypoint branch: leave the keypoint_* arguments out."
            )
        self.in_features = self.box_in_features = box_in_features
        # Any modules of the right interface will do.
        self.box_pooler: Any = box_pooler
        self.box_head: Any = box_head
        self.box_predictor: Any = box_predictor
        self.keypoint_on = False
        self.mask_on = mask_in_features is not None
        if mask_in_features is not None:
            self.mask_in_features = mask_in_features
            self.mask_pooler: Any = mask_pooler
            self.mask_head: Any = mask_head
        self.train_on_pred_boxes = train_on_pred_boxes

    @classmethod
    def from_config(  # type: ignore[override]
        cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]
    ) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL.ROI_HEADS`` and the nodes of the branches."""
        if cfg.MODEL.get("KEYPOINT_ON", False):
            raise NotImplementedError(
                "MODEL.KEYPOINT_ON is set, but detectron2-core has no keypoint branch."
            )
        settings = super().from_config(cfg)
        settings["train_on_pred_boxes"] = cfg.MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES
        # Older subclasses have instance methods here, which they call themselves.
        for build in (cls._init_box_head, cls._init_mask_head, cls._init_keypoint_head):
            if inspect.ismethod(build):
                settings.update(build(cfg, input_shape))
        return settings

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """The constructor arguments of the box branch."""
        pooler, region = _pooling_of(cfg, cfg.MODEL.ROI_BOX_HEAD, input_shape)
        head = build_box_head(cfg, region)
        return {
            "box_head": head,
            "box_predictor": FastRCNNOutputLayers(cfg, head.output_shape),
            "box_pooler": pooler,
            "box_in_features": cfg.MODEL.ROI_HEADS.IN_FEATURES,
        }

    @classmethod
    def _init_mask_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """The constructor arguments of the mask branch; none for a detector without masks."""
        if not cfg.MODEL.MASK_ON:
            return {}
        names = cfg.MODEL.ROI_HEADS.IN_FEATURES
        pooler, region = _pooling_of(cfg, cfg.MODEL.ROI_MASK_HEAD, input_shape)
        whole_maps = {name: input_shape[name] for name in names}
        return {
            "mask_head": build_mask_head(cfg, whole_maps if pooler is None else region),
            "mask_pooler": pooler,
            "mask_in_features": names,
        }

    @classmethod
    def _init_keypoint_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Nothing: this class has no keypoint branch."""
        return {}

    def forward(
        self, images: ImageList, features: dict[str, Tensor], proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:  # fmt: skip
        """See :meth:`ROIHeads.forward`."""
        if not self.training:
            detections = self._forward_box(features, proposals)
            # While training masks learn on proposals; here they are wanted for the final boxes.
            return self.forward_with_given_boxes(features, detections), {}
        if targets is None:
            raise ValueError("RoI heads train only with targets; the inputs have no instances.")
        sampled = self.label_and_sample_proposals(proposals, targets)
        losses = dict(self._forward_box(features, sampled))
        # train_on_pred_boxes has replaced the boxes of `sampled` in between.
        losses.update(self._forward_mask(features, sampled))
        return sampled, losses

    def forward_with_given_boxes(
        self, features: dict[str, Tensor], instances: list[Instances]
    ) -> list[Instances]:
        """Run the branches that need boxes and classes only, at test time.

        Args:
            features: name -> (N, C, H, W).
            instances: N Instances with ``pred_boxes`` and ``pred_classes``.

        Returns:
            the same Instances, with ``pred_masks`` if there is a mask branch.

        Raises:
            RuntimeError: in training mode.
            ValueError: the boxes or classes are missing.
        """
        if self.training:
            raise RuntimeError(
                "forward_with_given_boxes is for inference: call model.eval() first."
            )
        for x in instances:
            if not (x.has("pred_boxes") and x.has("pred_classes")):
                raise ValueError("The given instances need the fields pred_boxes and pred_classes.")
        return self._forward_mask(features, instances)

    # What the branches return depends on the mode: TorchScript, which knows the mode, finds out.
    def _forward_box(  # type: ignore[no-untyped-def]
        self, features: dict[str, Tensor], proposals: list[Instances]
    ):
        """The box branch: a dict of losses while training, otherwise N Instances."""
        maps = [features[name] for name in self.box_in_features]
        regions = self.box_pooler(maps, [x.proposal_boxes for x in proposals])
        predictions = self.box_predictor(self.box_head(regions))
        if not self.training:
            return self.box_predictor.inference(predictions, proposals)[0]
        losses = self.box_predictor.losses(predictions, proposals)
        if self.train_on_pred_boxes:
            with torch.no_grad():
                moved = self.box_predictor.predict_boxes_for_gt_classes(predictions, proposals)
            for per_image, boxes in zip(proposals, moved, strict=True):
                per_image.proposal_boxes = Boxes(boxes)
        return losses

    def _forward_mask(  # type: ignore[no-untyped-def]
        self, features: dict[str, Tensor], instances: list[Instances]
    ):
        """The mask branch: a dict of losses while training, otherwise ``instances``."""
        if not self.mask_on:
            return {} if self.training else instances
        if self.training:
            # Background has no mask to learn.
            instances = select_foreground_proposals(instances, self.num_classes)[0]
        if self.mask_pooler is None:
            return self.mask_head(
                {name: features[name] for name in self.mask_in_features}, instances
            )
        if self.training:
            boxes = [x.proposal_boxes for x in instances]
        else:
            boxes = [x.pred_boxes for x in instances]
        maps = [features[name] for name in self.mask_in_features]
        return self.mask_head(self.mask_pooler(maps, boxes), instances)

    def _forward_keypoint(self, features: dict[str, Tensor], instances: list[Instances]) -> Any:
        """The keypoint branch that this class does not have; subclasses may call or define it."""
        return {} if self.training else instances


Res5ROIHeads = unavailable(__name__, "C4 models", "Res5ROIHeads")
ROI_HEADS_REGISTRY.register(Res5ROIHeads)

select_proposals_with_visible_keypoints = unavailable(
    __name__, "keypoints", "select_proposals_with_visible_keypoints"
)
