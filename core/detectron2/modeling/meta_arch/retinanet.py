"""RetinaNet (Lin et al. 2017, "Focal Loss for Dense Object Detection")."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import CycleBatchNormList, ShapeSpec, cat, get_norm
from detectron2.layers.nms import batched_nms  # noqa: F401
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K  # noqa: F401
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from detectron2.utils.events import get_event_storage  # noqa: F401

from ..anchor_generator import build_anchor_generator
from ..backbone import Backbone, build_backbone
from ..box_regression import Box2BoxTransform, Box2BoxTransformLinear, _dense_box_regression_loss
from ..matcher import Matcher
from .build import META_ARCH_REGISTRY
from .dense_detector import DenseDetector, focal_loss_targets

__all__ = ["RetinaNet", "RetinaNetHead"]


class RetinaNetHead(nn.Module):
    """Two towers of 3x3 convolutions, shared by all levels: one for classes, one for boxes.

    Args:
        input_shape: the feature maps, all of the same channels.
        num_classes: number of classes K; there is no background class.
        num_anchors: anchors A at each location.
        conv_dims: channels of the towers' convolutions.
        norm: normalisation of the towers. Batch norms (``BN``, ``SyncBN``) keep statistics for
            every level of their own.
        prior_prob: what the classification answers before training (Sec. 4.1 of the paper): it
            keeps the many background anchors from blowing up the first losses.
    """

    @configurable
    def __init__(
        self, *, input_shape: list[ShapeSpec], num_classes: int, num_anchors: int,
        conv_dims: list[int], norm: Any = "", prior_prob: float = 0.01,
    ) -> None:  # fmt: skip
        super().__init__()
        self._num_features = len(input_shape)
        in_channels = input_shape[0].channels or 0
        self.cls_subnet = self._tower(in_channels, conv_dims, norm)
        self.bbox_subnet = self._tower(in_channels, conv_dims, norm)
        last = [in_channels, *conv_dims][-1]
        self.cls_score = nn.Conv2d(last, num_anchors * num_classes, 3, padding=1)
        self.bbox_pred = nn.Conv2d(last, num_anchors * 4, 3, padding=1)
        prior_logit = -math.log((1 - prior_prob) / prior_prob)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_prediction_conv(module, prior_logit if module is self.cls_score else 0.0)

    def _tower(self, in_channels: int, conv_dims: Sequence[int], norm: Any) -> nn.Sequential:
        layers: list[nn.Module] = []
        for out_channels in conv_dims:
            layers.append(nn.Conv2d(in_channels, out_channels, 3, padding=1))
            normalisation = self._tower_norm(norm, out_channels)
            if normalisation is not None:
                layers.append(normalisation)
            layers.append(nn.ReLU())
            in_channels = out_channels
        return nn.Sequential(*layers)

    def _tower_norm(self, norm: Any, channels: int) -> nn.Module | None:
        # Levels differ in their statistics, and training sees one level after the other.
        per_level = {"BN": nn.BatchNorm2d, "SyncBN": nn.SyncBatchNorm}
        if norm in per_level:
            return CycleBatchNormList(
                length=self._num_features, bn_class=per_level[norm], num_features=channels
            )
        return get_norm(norm, channels)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: list[ShapeSpec]) -> dict[str, Any]:
        """Arguments from ``MODEL.RETINANET`` and ``MODEL.ANCHOR_GENERATOR``."""
        config = cfg.MODEL.RETINANET
        counts: Any = build_anchor_generator(cfg, input_shape).num_cell_anchors
        if len(set(counts)) != 1:
            raise ValueError(
                f"MODEL.ANCHOR_GENERATOR makes {counts} anchors a location on the levels of"
                " RetinaNet; its shared head needs the same number on all."
            )
        return {
            "input_shape": input_shape,
            "num_anchors": counts[0],
            "num_classes": config.NUM_CLASSES,
            "conv_dims": [input_shape[0].channels] * config.NUM_CONVS,
            "norm": config.NORM,
            "prior_prob": config.PRIOR_PROB,
        }

    def _check_levels(self, features: list[Tensor]) -> None:
        if len(features) != self._num_features:
            raise ValueError(
                f"{type(self).__name__} was made for {self._num_features} levels of features,"
                f" not {len(features)}."
            )

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Predict on every level.

        Args:
            features: one (N, C, Hi, Wi) map a level.

        Returns:
            class logits (N, A * K, Hi, Wi) and box deltas (N, A * 4, Hi, Wi), a list each.
        """
        self._check_levels(features)
        logits = [self.cls_score(self.cls_subnet(feature)) for feature in features]
        deltas = [self.bbox_pred(self.bbox_subnet(feature)) for feature in features]
        return logits, deltas


def init_prediction_conv(conv: nn.Conv2d, bias: float = 0.0) -> None:
    """Start a convolution of a dense head from a small Gaussian and a constant bias."""
    nn.init.normal_(conv.weight, mean=0, std=0.01)
    if conv.bias is not None:
        nn.init.constant_(conv.bias, bias)


@META_ARCH_REGISTRY.register()
class RetinaNet(DenseDetector):
    """RetinaNet: anchors, focal loss, box regression.

    Args:
        backbone: the feature extractor.
        head: see :class:`RetinaNetHead`.
        head_in_features: names of the feature maps for the head.
        anchor_generator: makes the anchors of these maps.
        box2box_transform: between anchors and boxes.
        anchor_matcher: labels anchors by their IoU with the ground truth.
        num_classes: number of classes K; label K means background.
        focal_loss_alpha, focal_loss_gamma: alpha and gamma of the focal loss (Eq. 5).
        smooth_l1_beta: of the smooth L1 loss.
        box_reg_loss_type: ``smooth_l1``, ``giou``, ``diou`` or ``ciou``.
        test_score_thresh: detections need a score over this.
        test_topk_candidates: of every level, how many predictions go into NMS at most.
        test_nms_thresh: IoU over which NMS, within a class, drops the lower score.
        max_detections_per_image: how many detections to keep.
        pixel_mean, pixel_std: see :class:`DenseDetector`.
        vis_period: iterations between two pictures in training; 0 for none.
        input_format: order of the images' channels, for these pictures.
    """

    @configurable
    def __init__(
        self, *, backbone: Backbone, head: nn.Module, head_in_features: list[str],
        anchor_generator: nn.Module,
        box2box_transform: Box2BoxTransform | Box2BoxTransformLinear, anchor_matcher: Matcher,
        num_classes: int, focal_loss_alpha: float = 0.25, focal_loss_gamma: float = 2.0,
        smooth_l1_beta: float = 0.0, box_reg_loss_type: str = "smooth_l1",
        test_score_thresh: float = 0.05, test_topk_candidates: int = 1000,
        test_nms_thresh: float = 0.5, max_detections_per_image: int = 100,
        pixel_mean: Sequence[float], pixel_std: Sequence[float],
        vis_period: int = 0, input_format: str = "BGR",
    ) -> None:  # fmt: skip
        super().__init__(
            backbone, head, head_in_features, pixel_mean=pixel_mean, pixel_std=pixel_std
        )
        self.num_classes = num_classes
        # Anchors and their ground truth.
        self.anchor_generator = anchor_generator
        self.anchor_matcher = anchor_matcher
        self.box2box_transform = box2box_transform
        # Losses.
        self.focal_loss_alpha, self.focal_loss_gamma = focal_loss_alpha, focal_loss_gamma
        self.box_reg_loss_type, self.smooth_l1_beta = box_reg_loss_type, smooth_l1_beta
        # Inference.
        self.test_score_thresh = test_score_thresh
        self.test_topk_candidates = test_topk_candidates
        self.test_nms_thresh = test_nms_thresh
        self.max_detections_per_image = max_detections_per_image
        # Pictures.
        self.vis_period, self.input_format = vis_period, input_format

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Arguments from ``MODEL.RETINANET``, ``MODEL.BACKBONE`` and what these use."""
        config = cfg.MODEL.RETINANET
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        head_shapes = [shapes[name] for name in config.IN_FEATURES]
        matcher = Matcher(config.IOU_THRESHOLDS, config.IOU_LABELS, allow_low_quality_matches=True)
        return {
            "backbone": backbone,
            "head": RetinaNetHead(cfg, head_shapes),
            "head_in_features": config.IN_FEATURES,
            "anchor_generator": build_anchor_generator(cfg, head_shapes),
            "anchor_matcher": matcher,
            "box2box_transform": Box2BoxTransform(weights=config.BBOX_REG_WEIGHTS),
            "num_classes": config.NUM_CLASSES,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "vis_period": cfg.VIS_PERIOD,
            "input_format": cfg.INPUT.FORMAT,
            "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            **{argument: config[key] for argument, key in _FROM_RETINANET_CONFIG.items()},
        }

    def forward_training(
        self, images: ImageList, features: list[Tensor], predictions: Any,
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:  # fmt: skip
        """The losses of a batch, see :meth:`losses`."""
        logits, deltas = self._transpose_dense_predictions(predictions, [self.num_classes, 4])
        anchors = self.anchor_generator(features)
        gt_labels, gt_boxes = self.label_anchors(anchors, gt_instances)
        return self.losses(anchors, logits, gt_labels, deltas, gt_boxes)

    def losses(
        self, anchors: list[Boxes], pred_logits: list[Tensor], gt_labels: list[Tensor],
        pred_anchor_deltas: list[Tensor], gt_boxes: list[Tensor],
    ) -> dict[str, Tensor]:  # fmt: skip
        """Classification and box losses over a moving average of the number of foreground anchors.

        Args:
            anchors: one entry a level, together R.
            pred_logits: (N, Ri, K) a level.
            gt_labels: (R,) an image: class, K for background, -1 to ignore.
            pred_anchor_deltas: (N, Ri, 4) a level.
            gt_boxes: (R, 4) an image, the box matched to every anchor.

        Returns:
            ``loss_cls`` and ``loss_box_reg``.
        """
        labels = torch.stack(gt_labels)
        counted = labels >= 0
        foreground = counted & (labels != self.num_classes)
        logits = cat(pred_logits, dim=1)[counted]
        classification = sigmoid_focal_loss(
            logits, focal_loss_targets(labels[counted], self.num_classes, logits),
            alpha=self.focal_loss_alpha, gamma=self.focal_loss_gamma, reduction="sum",
        )  # fmt: skip
        regression = _dense_box_regression_loss(
            anchors, self.box2box_transform, pred_anchor_deltas, gt_boxes, foreground,
            self.box_reg_loss_type, self.smooth_l1_beta,
        )  # fmt: skip
        normalizer = self._loss_normalizer(foreground, initial=100)
        return {"loss_cls": classification / normalizer, "loss_box_reg": regression / normalizer}

    @torch.no_grad()
    def label_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Match all anchors to the ground truth of every image.

        Args:
            anchors: one entry a level, together R.
            gt_instances: one an image, with ``gt_boxes`` and ``gt_classes``.

        Returns:
            an image each: labels (R,) as :meth:`losses` takes them; matched boxes (R, 4),
            meaningful only for foreground.
        """
        all_anchors = Boxes.cat(anchors)
        labels, boxes = [], []
        for truth in gt_instances:
            matches, quality = self.anchor_matcher(pairwise_iou(truth.gt_boxes, all_anchors))
            if len(truth) == 0:
                boxes.append(torch.zeros_like(all_anchors.tensor))
                labels.append(torch.full_like(matches, self.num_classes))
                continue
            boxes.append(truth.gt_boxes.tensor[matches])
            classes = truth.gt_classes[matches].masked_fill(quality == 0, self.num_classes)
            labels.append(classes.masked_fill(quality == -1, -1))
        return labels, boxes

    def forward_inference(
        self, images: ImageList, features: list[Tensor], predictions: Any
    ) -> list[Instances]:
        """The detections of every image, at the network's input size."""
        logits, deltas = self._transpose_dense_predictions(predictions, [self.num_classes, 4])
        anchors = self.anchor_generator(features)
        scores = [level.sigmoid() for level in logits]
        return self._detect_per_image(images, anchors, scores, deltas)


_FROM_RETINANET_CONFIG = {
    "focal_loss_alpha": "FOCAL_LOSS_ALPHA",
    "focal_loss_gamma": "FOCAL_LOSS_GAMMA",
    "smooth_l1_beta": "SMOOTH_L1_LOSS_BETA",
    "box_reg_loss_type": "BBOX_REG_LOSS_TYPE",
    "test_score_thresh": "SCORE_THRESH_TEST",
    "test_topk_candidates": "TOPK_CANDIDATES_TEST",
    "test_nms_thresh": "NMS_THRESH_TEST",
}
"""Argument of :class:`RetinaNet` -> key of ``MODEL.RETINANET``."""
