"""FCOS (Tian et al. 2019) with the later improvements of its authors.

A location of a feature map is a square "anchor" of the map's stride around its centre. Shapes as
in ``dense_detector``, with one anchor a location.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor, nn

from detectron2.layers import ShapeSpec, cat
from detectron2.layers.nms import batched_nms  # noqa: F401
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.structures.boxes import pairwise_point_box_distance  # noqa: F401
from detectron2.utils.events import get_event_storage  # noqa: F401

from ..anchor_generator import DefaultAnchorGenerator
from ..backbone import Backbone
from ..box_regression import Box2BoxTransform, Box2BoxTransformLinear, _dense_box_regression_loss
from .dense_detector import DenseDetector, focal_loss_targets
from .retinanet import RetinaNetHead, init_prediction_conv

__all__ = ["FCOS", "FCOSHead"]

# Over any area in pixels: turns "the smallest box" into "the highest quality".
_AREA_BOUND = 1e8


class FCOSHead(RetinaNetHead):
    """The head of RetinaNet for one anchor a location, and ``ctrness`` on the box tower.

    Args:
        input_shape: the feature maps, all of the same channels.
        conv_dims: channels of the towers' convolutions.
        kwargs: ``num_classes``, ``norm`` and ``prior_prob``, see :class:`RetinaNetHead`.
    """

    def __init__(
        self, *, input_shape: list[ShapeSpec], conv_dims: list[int], **kwargs: Any
    ) -> None:
        super().__init__(input_shape=input_shape, conv_dims=conv_dims, num_anchors=1, **kwargs)
        # Predicted beside the boxes, not the classes: improvement "ctr. on reg." of the paper.
        self.ctrness = nn.Conv2d(conv_dims[-1], 1, 3, padding=1)
        init_prediction_conv(self.ctrness)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Predict on every level.

        Args:
            features: one (N, C, Hi, Wi) map a level.

        Returns:
            class logits (N, K, Hi, Wi), distances (N, 4, Hi, Wi) and centerness logits
            (N, 1, Hi, Wi), a list each.
        """
        self._check_levels(features)
        logits = [self.cls_score(self.cls_subnet(feature)) for feature in features]
        towers = [self.bbox_subnet(feature) for feature in features]
        deltas = [self.bbox_pred(tower) for tower in towers]
        return logits, deltas, [self.ctrness(tower) for tower in towers]


class FCOS(DenseDetector):
    """FCOS: every location predicts a class, its distances to the box's sides, and centerness.

    Args:
        backbone: the feature extractor.
        head: see :class:`FCOSHead`.
        head_in_features: names of the feature maps for the head; by default all.
        box2box_transform: between locations and boxes; default
            ``Box2BoxTransformLinear(normalize_by_size=True)``.
        num_classes: number of classes K; label K means background.
        center_sampling_radius: a location belongs to a box only when it is closer to the box's
            centre than this many strides.
        focal_loss_alpha, focal_loss_gamma: alpha and gamma of the focal loss.
        test_score_thresh: detections need a score over this, the geometric mean of class
            probability and centerness.
        test_topk_candidates: of every level, how many predictions go into NMS at most.
        test_nms_thresh: IoU over which NMS, within a class, drops the lower score.
        max_detections_per_image: how many detections to keep.
        pixel_mean, pixel_std: see :class:`DenseDetector`.
    """

    def __init__(
        self, *, backbone: Backbone, head: nn.Module, head_in_features: list[str] | None = None,
        box2box_transform: Box2BoxTransform | Box2BoxTransformLinear | None = None,
        num_classes: int, center_sampling_radius: float = 1.5,
        focal_loss_alpha: float = 0.25, focal_loss_gamma: float = 2.0,
        test_score_thresh: float = 0.2, test_topk_candidates: int = 1000,
        test_nms_thresh: float = 0.6, max_detections_per_image: int = 100,
        pixel_mean: Sequence[float], pixel_std: Sequence[float],
    ) -> None:  # fmt: skip
        super().__init__(
            backbone, head, head_in_features, pixel_mean=pixel_mean, pixel_std=pixel_std
        )
        self.num_classes = num_classes
        shapes = backbone.output_shape()
        strides = [shapes[name].stride or 1 for name in self.head_in_features]
        self.anchor_generator = DefaultAnchorGenerator(
            sizes=[[stride] for stride in strides], aspect_ratios=[1.0], strides=strides, offset=0.5
        )
        self.box2box_transform = box2box_transform or Box2BoxTransformLinear(normalize_by_size=True)
        self.center_sampling_radius = float(center_sampling_radius)
        self.focal_loss_alpha, self.focal_loss_gamma = focal_loss_alpha, focal_loss_gamma
        self.test_score_thresh = test_score_thresh
        self.test_topk_candidates = test_topk_candidates
        self.test_nms_thresh = test_nms_thresh
        self.max_detections_per_image = max_detections_per_image

    def forward_training(
        self, images: ImageList, features: list[Tensor], predictions: Any,
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:  # fmt: skip
        """The losses of a batch, see :meth:`losses`."""
        logits, deltas, centerness = self._transpose_dense_predictions(
            predictions, [self.num_classes, 4, 1]
        )
        anchors = self.anchor_generator(features)
        gt_labels, gt_boxes = self.label_anchors(anchors, gt_instances)
        return self.losses(anchors, logits, gt_labels, deltas, gt_boxes, centerness)

    @torch.no_grad()
    def _match_anchors(self, gt_boxes: Boxes, anchors: list[Boxes]) -> Tensor:
        """How well every location (of R) suits every ground truth box (of M).

        A location suits a box when it lies inside of the box and near its centre, and the
        largest distance to a side is in the range of the location's level: 4 to 8 strides, on
        the finest level from 0, on the coarsest without end (Sec. 3.2 of the paper).

        Returns:
            (M, R): 0 where it does not suit; otherwise the larger, the smaller the box.
        """
        all_anchors = Boxes.cat(anchors)
        stride = all_anchors.tensor[:, 2] - all_anchors.tensor[:, 0]
        location = all_anchors.get_centers()
        finest, coarsest = len(anchors[0]), len(anchors[-1])
        lower, upper = stride * 4, stride * 8
        lower[:finest] = 0
        upper[len(upper) - coarsest :] = float("inf")

        from_center = (location[None] - gt_boxes.get_centers()[:, None]).abs().amax(dim=2)
        corners = gt_boxes.tensor[:, None]
        sides = torch.cat([location - corners[..., :2], corners[..., 2:] - location], dim=2)
        nearest, farthest = sides.amin(dim=2), sides.amax(dim=2)
        suits = (nearest > 0) & (from_center < self.center_sampling_radius * stride)
        suits &= (farthest > lower) & (farthest < upper)
        # Of several boxes, a location belongs to the smallest.
        return suits * (_AREA_BOUND - gt_boxes.area()[:, None])

    @torch.no_grad()
    def label_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Assign the ground truth of every image to the R locations.

        It takes and gives what ``RetinaNet.label_anchors`` does, but ignores no location: a label
        is a class, or K for background.
        """
        labels, boxes = [], []
        total = sum(len(level) for level in anchors)
        for truth in gt_instances:
            if len(truth) == 0:
                boxes.append(truth.gt_boxes.tensor.new_zeros((total, 4)))
                labels.append(truth.gt_classes.new_full((total,), self.num_classes))
                continue
            quality, matches = self._match_anchors(truth.gt_boxes, anchors).max(dim=0)
            classes = truth.gt_classes[matches]
            labels.append(classes.masked_fill(quality < 1e-5, self.num_classes))
            boxes.append(truth.gt_boxes.tensor[matches])
        return labels, boxes

    def losses(
        self, anchors: list[Boxes], pred_logits: list[Tensor], gt_labels: list[Tensor],
        pred_anchor_deltas: list[Tensor], gt_boxes: list[Tensor], pred_centerness: list[Tensor],
    ) -> dict[str, Tensor]:  # fmt: skip
        """Focal loss, GIoU loss and centerness loss, each over the average foreground.

        Args:
            anchors: one entry a level, together R.
            pred_logits: (N, Ri, K) a level.
            gt_labels: (R,) an image: class, or K for background.
            pred_anchor_deltas: (N, Ri, 4) a level.
            gt_boxes: (R, 4) an image, the box assigned to every location.
            pred_centerness: logits (N, Ri, 1) a level.

        Returns:
            ``loss_fcos_cls``, ``loss_fcos_loc`` and ``loss_fcos_ctr``.
        """
        labels = torch.stack(gt_labels)
        foreground = (labels >= 0) & (labels != self.num_classes)
        logits = cat(pred_logits, dim=1)
        classification = sigmoid_focal_loss(
            logits, focal_loss_targets(labels, self.num_classes, logits),
            alpha=self.focal_loss_alpha, gamma=self.focal_loss_gamma, reduction="sum",
        )  # fmt: skip
        regression = _dense_box_regression_loss(
            anchors, self.box2box_transform, pred_anchor_deltas, gt_boxes, foreground, "giou"
        )
        centerness = F.binary_cross_entropy_with_logits(
            cat(pred_centerness, dim=1).squeeze(2)[foreground],
            self.compute_ctrness_targets(anchors, gt_boxes)[foreground],
            reduction="sum",
        )
        normalizer = self._loss_normalizer(foreground, initial=300)
        return {
            "loss_fcos_cls": classification / normalizer,
            "loss_fcos_loc": regression / normalizer,
            "loss_fcos_ctr": centerness / normalizer,
        }

    def compute_ctrness_targets(self, anchors: list[Boxes], gt_boxes: list[Tensor]) -> Tensor:
        """Centerness (Eq. 3 of the paper): 1 in the middle of a box, 0 at its border.

        Args:
            anchors: one entry a level, together R.
            gt_boxes: (R, 4) an image.

        Returns:
            (N, R); not a number where the location is outside of its box.
        """
        locations = Boxes.cat(anchors).tensor
        sides = torch.stack([self.box2box_transform.get_deltas(locations, b) for b in gt_boxes])
        # left, top, right, bottom -> (left, right) and (top, bottom)
        across, along = sides[..., 0::2], sides[..., 1::2]
        ratio = [pair.amin(dim=-1) / pair.amax(dim=-1) for pair in (across, along)]
        return torch.sqrt(ratio[0] * ratio[1])

    def forward_inference(
        self, images: ImageList, features: list[Tensor], predictions: Any
    ) -> list[Instances]:
        """The detections of every image, at the network's input size."""
        logits, deltas, centerness = self._transpose_dense_predictions(
            predictions, [self.num_classes, 4, 1]
        )
        anchors = self.anchor_generator(features)
        scores = [
            torch.sqrt(classes.sigmoid() * center.sigmoid())
            for classes, center in zip(logits, centerness, strict=True)
        ]
        return self._detect_per_image(images, anchors, scores, deltas)
