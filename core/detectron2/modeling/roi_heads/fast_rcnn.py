"""Box predictor of Fast R-CNN (Girshick, https://arxiv.org/abs/1504.08083): losses and inference.

Shape legend: R proposals of a batch, Ri of image i, K foreground classes (class K is background),
B = 4 box parameters, Kr = K, or 1 for class-agnostic regression.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detectron2.config import CfgNode, configurable
from detectron2.data.detection_utils import get_fed_loss_cls_weights
from detectron2.layers import ShapeSpec, cat, cross_entropy
from detectron2.layers.nms import batched_nms  # noqa: F401
from detectron2.layers.wrappers import nonzero_tuple  # noqa: F401
from detectron2.structures import Instances
from detectron2.structures.boxes import Boxes  # noqa: F401
from detectron2.utils.events import get_event_storage  # noqa: F401

from ..box_regression import Box2BoxTransform, _dense_box_regression_loss
from ._box_predictions import _log_classification_stats, fast_rcnn_inference, split_by_image
from ._box_predictions import fast_rcnn_inference_single_image as fast_rcnn_inference_single_image


def _proposal_boxes(proposals: list[Instances]) -> Tensor:
    return cat([x.proposal_boxes.tensor for x in proposals])


class FastRCNNOutputLayers(nn.Module):
    """Two linear layers on box features, ``cls_score`` and ``bbox_pred``; losses and inference.

    ``box2box_transform``, ``num_classes`` and the other arguments stay public attributes.
    """

    fed_loss_cls_weights: Tensor

    @configurable
    def __init__(
        self, input_shape: ShapeSpec, *, box2box_transform: Box2BoxTransform, num_classes: int,
        test_score_thresh: float = 0.0, test_nms_thresh: float = 0.5,
        test_topk_per_image: int = 100, cls_agnostic_bbox_reg: bool = False,
        smooth_l1_beta: float = 0.0, box_reg_loss_type: str = "smooth_l1",
        loss_weight: float | dict[str, float] = 1.0, use_fed_loss: bool = False,
        use_sigmoid_ce: bool = False, get_fed_loss_cls_weights: Callable[[], Tensor] | None = None,
        fed_loss_num_classes: int = 50,
    ) -> None:  # fmt: skip
        """
        Args:
            input_shape: shape of one region's features; a plain number of channels is accepted.
            box2box_transform: the coding of boxes relative to proposals.
            num_classes: foreground classes K.
            test_score_thresh: detections need a higher score.
            test_nms_thresh: IoU of the NMS within a class.
            test_topk_per_image: detections of an image.
            cls_agnostic_bbox_reg: one box a proposal instead of one a class.
            smooth_l1_beta: where the smooth L1 loss turns linear; 0 is plain L1.
            box_reg_loss_type: ``smooth_l1``, ``giou``, ``diou`` or ``ciou``.
            loss_weight: one factor for both losses, or a factor by name (``loss_cls``,
                ``loss_box_reg``).
            use_fed_loss: federated loss: of the classes that an image lacks, only some are
                negative (Zhou et al., https://arxiv.org/abs/2103.07461).
            use_sigmoid_ce: a sigmoid for each class in place of the softmax.
            get_fed_loss_cls_weights: gives the (K,) sampling weights of the federated loss.
            fed_loss_num_classes: classes that take part in a federated loss.

        Raises:
            ValueError: a federated loss without sigmoids or without a weight for each class.
        """
        super().__init__()
        if isinstance(input_shape, int):
            input_shape = ShapeSpec(channels=input_shape)
        channels = input_shape.channels or 0
        features = channels * (input_shape.height or 1) * (input_shape.width or 1)
        self.box2box_transform, self.num_classes = box2box_transform, num_classes
        box_dim = len(getattr(box2box_transform, "weights", (1.0,) * 4))
        self.cls_score = nn.Linear(features, num_classes + 1)
        self.bbox_pred = nn.Linear(
            features, box_dim * (1 if cls_agnostic_bbox_reg else num_classes)
        )
        for layer, spread in ((self.cls_score, 0.01), (self.bbox_pred, 0.001)):
            nn.init.normal_(layer.weight, std=spread)
            nn.init.zeros_(layer.bias)
        self.test_score_thresh, self.test_nms_thresh = test_score_thresh, test_nms_thresh
        self.test_topk_per_image = test_topk_per_image
        self.box_reg_loss_type, self.smooth_l1_beta = box_reg_loss_type, smooth_l1_beta
        if isinstance(loss_weight, (int, float)):
            loss_weight = dict.fromkeys(("loss_cls", "loss_box_reg"), loss_weight)
        self.loss_weight = loss_weight
        self.use_sigmoid_ce, self.use_fed_loss = use_sigmoid_ce, use_fed_loss
        self.fed_loss_num_classes = fed_loss_num_classes
        if use_fed_loss:
            self._init_fed_loss(get_fed_loss_cls_weights)

    def _init_fed_loss(self, class_weights: Callable[[], Tensor] | None) -> None:
        if not self.use_sigmoid_ce:
            raise ValueError("A federated loss needs sigmoid cross entropy: set use_sigmoid_ce.")
        if class_weights is None:
            raise ValueError("A federated loss needs get_fed_loss_cls_weights.")
        weights = class_weights()
        if len(weights) != self.num_classes:
            raise ValueError(
                f"get_fed_loss_cls_weights gives {len(weights)} weights for {self.num_classes} "
                "classes."
            )
        self.register_buffer("fed_loss_cls_weights", weights)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL.ROI_BOX_HEAD`` and ``cfg.MODEL.ROI_HEADS``."""
        head, heads = cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_HEADS
        class_weights = functools.partial(
            get_fed_loss_cls_weights, cfg.DATASETS.TRAIN, head.FED_LOSS_FREQ_WEIGHT_POWER
        )
        return {
            "box2box_transform": Box2BoxTransform(weights=head.BBOX_REG_WEIGHTS),
            "box_reg_loss_type": head.BBOX_REG_LOSS_TYPE,
            "cls_agnostic_bbox_reg": head.CLS_AGNOSTIC_BBOX_REG,
            "fed_loss_num_classes": head.FED_LOSS_NUM_CLASSES,
            "get_fed_loss_cls_weights": class_weights,
            "input_shape": input_shape,
            "loss_weight": {"loss_box_reg": head.BBOX_REG_LOSS_WEIGHT},
            "num_classes": heads.NUM_CLASSES,
            "smooth_l1_beta": head.SMOOTH_L1_BETA,
            "test_nms_thresh": heads.NMS_THRESH_TEST,
            "test_score_thresh": heads.SCORE_THRESH_TEST,
            "test_topk_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "use_fed_loss": head.USE_FED_LOSS,
            "use_sigmoid_ce": head.USE_SIGMOID_CE,
        }

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(R, features, ...) -> class logits (R, K + 1) and box deltas (R, Kr * B)."""
        flat = x.flatten(start_dim=1) if x.dim() > 2 else x
        return self.cls_score(flat), self.bbox_pred(flat)

    def losses(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> dict[str, Tensor]:
        """Losses over sampled proposals.

        Args:
            predictions: what :meth:`forward` gives for all proposals of the batch.
            proposals: N Instances with ``proposal_boxes``, ``gt_classes`` and ``gt_boxes`` (which
                may be missing where an image has no object).

        Returns:
            ``loss_cls`` and ``loss_box_reg``, scalars, weighted.
        """
        logits, deltas = predictions
        if proposals:
            classes = cat([x.gt_classes for x in proposals])
            boxes = _proposal_boxes(proposals)
            # Without an object everything is background, and the box loss reads no target.
            with_targets = [
                x.gt_boxes if x.has("gt_boxes") else x.proposal_boxes for x in proposals
            ]
            truth = cat([x.tensor for x in with_targets])
        else:
            classes = logits.new_empty(0, dtype=torch.int64)
            boxes = truth = deltas.new_empty(0, 4)
        _log_classification_stats(logits.detach(), classes)
        if self.use_sigmoid_ce:
            classification = self.sigmoid_cross_entropy_loss(logits, classes)
        else:
            classification = cross_entropy(logits, classes, reduction="mean")
        unweighted = {
            "loss_cls": classification,
            "loss_box_reg": self.box_reg_loss(boxes.detach(), truth, deltas, classes),
        }
        return {name: x * self.loss_weight.get(name, 1.0) for name, x in unweighted.items()}

    def get_fed_loss_classes(
        self, gt_classes: Tensor, num_fed_loss_classes: int, num_classes: int, weight: Tensor
    ) -> Tensor:
        """The classes of a federated loss: those that are present, and a sample of the others.

        Args:
            gt_classes: (R,) classes, background included.
            num_fed_loss_classes: the least number of classes wanted.
            num_classes: foreground classes K.
            weight: (K,) sampling weights.

        Returns:
            distinct class indices; all that are present (K for background, if it is).
        """
        present = gt_classes.unique()
        wanted = num_fed_loss_classes - len(present)
        if wanted <= 0:
            return present
        chance = torch.cat([weight.float(), weight.new_zeros(1, dtype=torch.float32)])
        chance[present] = 0
        return torch.cat([present, chance.multinomial(wanted, replacement=False)])

    def sigmoid_cross_entropy_loss(self, pred_class_logits: Tensor, gt_classes: Tensor) -> Tensor:
        """Binary cross entropy of every class, summed over classes, averaged over proposals.

        Args:
            pred_class_logits: (R, K + 1); the background column is not used.
            gt_classes: (R,) in 0 to K.

        Returns:
            a scalar; without a proposal it is 0 and keeps the graph of the logits.
        """
        logits = pred_class_logits[:, :-1]
        count, num_classes = logits.shape
        if count == 0:
            return pred_class_logits.sum() * 0
        target = F.one_hot(gt_classes, num_classes + 1)[:, :-1].to(logits.dtype)
        terms = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        if self.use_fed_loss:
            taking_part = self.get_fed_loss_classes(
                gt_classes, self.fed_loss_num_classes, num_classes, self.fed_loss_cls_weights
            )
            mask = terms.new_zeros(num_classes + 1).index_fill_(0, taking_part, 1)
            terms = terms * mask[:-1]
        return terms.sum() / count

    def box_reg_loss(
        self, proposal_boxes: Tensor, gt_boxes: Tensor, pred_deltas: Tensor, gt_classes: Tensor
    ) -> Tensor:
        """Regression loss of foreground proposals, divided by the number of all proposals.

        Args:
            proposal_boxes: (R, 4).
            gt_boxes: (R, 4), read where ``gt_classes`` is foreground.
            pred_deltas: (R, Kr * B).
            gt_classes: (R,) in 0 to K.

        Returns:
            a scalar. Dividing by R and not by the foreground gives every foreground proposal the
            same weight, in an image with one object or with twenty.
        """
        box_dim = proposal_boxes.shape[1]
        chosen = ((gt_classes >= 0) & (gt_classes < self.num_classes)).nonzero().flatten()
        deltas = pred_deltas[chosen]
        if pred_deltas.shape[1] != box_dim:
            by_class = deltas.view(len(chosen), self.num_classes, box_dim)
            deltas = by_class[torch.arange(len(chosen), device=chosen.device), gt_classes[chosen]]
        everything = torch.ones_like(chosen, dtype=torch.bool)[None]
        total = _dense_box_regression_loss(
            [proposal_boxes[chosen]], self.box2box_transform, [deltas[None]], [gt_boxes[chosen]],
            everything, self.box_reg_loss_type, self.smooth_l1_beta,
        )  # fmt: skip
        return total / max(gt_classes.numel(), 1)

    def inference(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> tuple[list[Instances], list[Tensor]]:
        """Detections of N images, see :func:`fast_rcnn_inference`.

        Args:
            predictions: what :meth:`forward` gives.
            proposals: N Instances with ``proposal_boxes``.
        """
        return fast_rcnn_inference(
            self.predict_boxes(predictions, proposals),
            self.predict_probs(predictions, proposals),
            [x.image_size for x in proposals],
            self.test_score_thresh, self.test_nms_thresh, self.test_topk_per_image,
        )  # fmt: skip

    def predict_boxes_for_gt_classes(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> tuple[Tensor, ...]:
        """Of every proposal the predicted box of its ground truth class.

        Args:
            predictions: what :meth:`forward` gives.
            proposals: N Instances with ``proposal_boxes`` and ``gt_classes``.

        Returns:
            N tensors (Ri, B). For background the box is that of the last class: it is not used.
        """
        per_image = self.predict_boxes(predictions, proposals)
        if not proposals:
            return ()
        box_dim = proposals[0].proposal_boxes.tensor.shape[1]
        chosen = []
        for boxes, instances in zip(per_image, proposals, strict=True):
            by_class = boxes.unflatten(1, (-1, box_dim))
            column = instances.gt_classes.clamp(0, by_class.shape[1] - 1)
            chosen.append(torch.take_along_dim(by_class, column[:, None, None], dim=1)[:, 0])
        return tuple(chosen)

    def predict_boxes(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> list[Tensor]:
        """N tensors (Ri, Kr * B) of decoded boxes in pixels, not clipped."""
        if len(proposals) == 0:
            return []
        boxes = self.box2box_transform.apply_deltas(predictions[1], _proposal_boxes(proposals))
        return split_by_image(boxes, proposals)

    def predict_probs(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> list[Tensor]:
        """N tensors (Ri, K + 1) of class probabilities."""
        logits = predictions[0]
        scores = logits.sigmoid() if self.use_sigmoid_ce else logits.softmax(dim=-1)
        return split_by_image(scores, proposals)
