"""Region proposal network (Ren et al., "Faster R-CNN", section 3, https://arxiv.org/abs/1506.01497).

Shape legend: N images, L feature levels, level i of Hi x Wi cells with A anchors each, B = 4 box
parameters. Flattened predictions run over Hi, Wi, A in this order, as the anchors do.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.layers.wrappers import cat  # noqa: F401
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from detectron2.utils.events import get_event_storage
from detectron2.utils.memory import retry_if_cuda_oom
from detectron2.utils.registry import Registry

from ..anchor_generator import build_anchor_generator
from ..box_regression import Box2BoxTransform, _dense_box_regression_loss
from ..matcher import Matcher
from ..sampling import subsample_labels
from .build import PROPOSAL_GENERATOR_REGISTRY
from .proposal_utils import find_top_rpn_proposals

RPN_HEAD_REGISTRY = Registry("RPN_HEAD")
RPN_HEAD_REGISTRY.__doc__ = """
Heads of a region proposal network. An entry is called as ``entry(cfg, input_shape)`` with a list
of ShapeSpec; the module maps a list of features to ``(objectness_logits, anchor_deltas)``.
"""


def build_rpn_head(cfg: CfgNode, input_shape: list[ShapeSpec]) -> nn.Module:
    """The head that ``cfg.MODEL.RPN.HEAD_NAME`` asks for."""
    return RPN_HEAD_REGISTRY.get(cfg.MODEL.RPN.HEAD_NAME)(cfg, input_shape)


@RPN_HEAD_REGISTRY.register()
class StandardRPNHead(nn.Module):
    """3x3 convolutions shared by all levels, then 1x1 layers for objectness and for deltas."""

    @configurable
    def __init__(
        self, *, in_channels: int, num_anchors: int, box_dim: int = 4,
        conv_dims: Sequence[int] = (-1,),
    ) -> None:  # fmt: skip
        """
        Args:
            in_channels: channels of every input feature.
            num_anchors: anchors in a cell.
            box_dim: box parameters of an anchor.
            conv_dims: output channels of each hidden convolution; -1 keeps the number of channels.

        Raises:
            ValueError: ``conv_dims`` is empty or has a value that is neither -1 nor positive.
        """
        super().__init__()
        if not conv_dims or any(dim != -1 and dim <= 0 for dim in conv_dims):
            raise ValueError(
                f"conv_dims has to hold positive numbers of channels or -1, not {list(conv_dims)}."
            )
        hidden: list[nn.Module] = []
        channels = in_channels
        for dim in conv_dims:
            source, channels = channels, channels if dim == -1 else dim
            hidden.append(Conv2d(source, channels, 3, padding=1, activation=nn.ReLU()))
        # A single layer is "conv", several are "conv.conv0", "conv.conv1", ... in checkpoints.
        self.conv: nn.Module = hidden[0]
        if len(hidden) > 1:
            self.conv = nn.Sequential()
            for index, layer in enumerate(hidden):
                self.conv.add_module(f"conv{index}", layer)
        self.objectness_logits = nn.Conv2d(channels, num_anchors, 1)
        self.anchor_deltas = nn.Conv2d(channels, num_anchors * box_dim, 1)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.01)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: list[ShapeSpec]) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL.RPN`` and the configured anchors."""
        channels = {shape.channels for shape in input_shape}
        anchors: Any = build_anchor_generator(cfg, input_shape)
        anchors_per_cell = set(anchors.num_anchors)
        if len(channels) != 1 or len(anchors_per_cell) != 1:
            raise ValueError(
                "A shared RPN head needs the same number of channels and of anchors on every "
                f"level; MODEL.RPN.IN_FEATURES has channels {channels} and "
                f"MODEL.ANCHOR_GENERATOR gives {anchors_per_cell} anchors."
            )
        return {
            "conv_dims": cfg.MODEL.RPN.CONV_DIMS,
            "in_channels": channels.pop(),
            "num_anchors": anchors_per_cell.pop(),
            "box_dim": anchors.box_dim,
        }

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """L features (N, C, Hi, Wi) -> L logits (N, A, Hi, Wi) and L deltas (N, A * B, Hi, Wi)."""
        hidden = [self.conv(feature) for feature in features]
        return [self.objectness_logits(x) for x in hidden], [self.anchor_deltas(x) for x in hidden]


@PROPOSAL_GENERATOR_REGISTRY.register()
class RPN(nn.Module):
    """Anchors, head, losses and proposals of a region proposal network."""

    @configurable
    def __init__(
        self, *, in_features: list[str], head: nn.Module, anchor_generator: nn.Module,
        anchor_matcher: Matcher, box2box_transform: Box2BoxTransform, batch_size_per_image: int,
        positive_fraction: float, pre_nms_topk: tuple[float, float],
        post_nms_topk: tuple[float, float], nms_thresh: float = 0.7, min_box_size: float = 0.0,
        anchor_boundary_thresh: float = -1.0, loss_weight: float | dict[str, float] = 1.0,
        box_reg_loss_type: str = "smooth_l1", smooth_l1_beta: float = 0.0,
    ) -> None:  # fmt: skip
        """
        Args:
            in_features: names of the features, finest first.
            head: see :class:`StandardRPNHead`.
            anchor_generator: gives one Boxes a level for a list of features.
            anchor_matcher: labels anchors by their IoU with the ground truth.
            box2box_transform: the coding of boxes relative to anchors.
            batch_size_per_image: anchors sampled for the loss.
            positive_fraction: at most this part of the sample is foreground.
            pre_nms_topk: proposals a level before NMS, in (training, testing).
            post_nms_topk: proposals an image after NMS, in (training, testing).
            nms_thresh: IoU of the NMS.
            min_box_size: smaller proposals (pixels, either side) are dropped.
            anchor_boundary_thresh: if >= 0, anchors that leave the image by more pixels than this
                do not train.
            loss_weight: one factor for both losses, or a factor by name (``loss_rpn_cls``,
                ``loss_rpn_loc``).
            box_reg_loss_type: ``smooth_l1``, ``giou``, ``diou`` or ``ciou``.
            smooth_l1_beta: where the smooth L1 loss turns linear; 0 is plain L1.
        """
        super().__init__()
        self.in_features = in_features
        self.anchor_generator = anchor_generator
        self.rpn_head = head
        self.anchor_matcher, self.box2box_transform = anchor_matcher, box2box_transform
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction
        self.anchor_boundary_thresh: Any = anchor_boundary_thresh
        # Keyed by self.training.
        self.pre_nms_topk = dict(zip((True, False), pre_nms_topk, strict=True))
        self.post_nms_topk = dict(zip((True, False), post_nms_topk, strict=True))
        self.nms_thresh, self.min_box_size = nms_thresh, float(min_box_size)
        if isinstance(loss_weight, (int, float)):
            loss_weight = dict.fromkeys(("loss_rpn_cls", "loss_rpn_loc"), loss_weight)
        self.loss_weight = loss_weight
        self.box_reg_loss_type, self.smooth_l1_beta = box_reg_loss_type, smooth_l1_beta

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL.RPN`` and ``cfg.MODEL.PROPOSAL_GENERATOR``."""
        rpn = cfg.MODEL.RPN
        shapes = [input_shape[name] for name in rpn.IN_FEATURES]
        return {
            "head": build_rpn_head(cfg, shapes),
            "anchor_generator": build_anchor_generator(cfg, shapes),
            "anchor_matcher": Matcher(
                rpn.IOU_THRESHOLDS, rpn.IOU_LABELS, allow_low_quality_matches=True
            ),
            "box2box_transform": Box2BoxTransform(weights=rpn.BBOX_REG_WEIGHTS),
            "pre_nms_topk": (rpn.PRE_NMS_TOPK_TRAIN, rpn.PRE_NMS_TOPK_TEST),
            "post_nms_topk": (rpn.POST_NMS_TOPK_TRAIN, rpn.POST_NMS_TOPK_TEST),
            "loss_weight": {
                "loss_rpn_cls": rpn.LOSS_WEIGHT,
                "loss_rpn_loc": rpn.LOSS_WEIGHT * rpn.BBOX_REG_LOSS_WEIGHT,
            },
            "min_box_size": cfg.MODEL.PROPOSAL_GENERATOR.MIN_SIZE,
            "in_features": rpn.IN_FEATURES,
            "nms_thresh": rpn.NMS_THRESH,
            "batch_size_per_image": rpn.BATCH_SIZE_PER_IMAGE,
            "positive_fraction": rpn.POSITIVE_FRACTION,
            "anchor_boundary_thresh": rpn.BOUNDARY_THRESH,
            "box_reg_loss_type": rpn.BBOX_REG_LOSS_TYPE,
            "smooth_l1_beta": rpn.SMOOTH_L1_BETA,
        }

    def _subsample_labels(self, label: Tensor) -> Tensor:
        """Keep a random sample of an image's labels (A,), in place; the others become -1."""
        foreground, background = subsample_labels(
            label, self.batch_size_per_image, self.positive_fraction, 0
        )
        return label.fill_(-1).index_fill_(0, foreground, 1).index_fill_(0, background, 0)

    @torch.no_grad()
    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Decide which anchors train, and towards which boxes.

        Args:
            anchors: one Boxes a level.
            gt_instances: N Instances with ``gt_boxes``.

        Returns:
            N label tensors over all anchors (1 object, 0 background, -1 unused), and N tensors
            (anchors, 4) of the matched boxes, meaningful where the label is 1.
        """
        every_anchor = Boxes.cat(anchors)
        labels, matched_boxes = [], []
        for instances in gt_instances:
            truth = instances.gt_boxes
            overlap = retry_if_cuda_oom(pairwise_iou)(truth, every_anchor)
            match, label = retry_if_cuda_oom(self.anchor_matcher)(overlap)
            label = label.to(truth.device)
            if self.anchor_boundary_thresh >= 0:
                inside = every_anchor.inside_box(instances.image_size, self.anchor_boundary_thresh)
                label[~inside] = -1
            labels.append(self._subsample_labels(label))
            if len(truth) > 0:
                matched_boxes.append(truth.tensor[match])
            else:
                matched_boxes.append(torch.zeros_like(every_anchor.tensor))
        return labels, matched_boxes

    def losses(
        self, anchors: list[Boxes], pred_objectness_logits: list[Tensor], gt_labels: list[Tensor],
        pred_anchor_deltas: list[Tensor], gt_boxes: list[Tensor],
    ) -> dict[str, Tensor]:  # fmt: skip
        """Losses over the sampled anchors of a batch.

        Args:
            anchors: one Boxes a level.
            pred_objectness_logits: L tensors (N, Hi * Wi * A).
            gt_labels: N label tensors from :meth:`label_and_sample_anchors`.
            pred_anchor_deltas: L tensors (N, Hi * Wi * A, B).
            gt_boxes: N matched box tensors from :meth:`label_and_sample_anchors`.

        Returns:
            ``loss_rpn_cls`` and ``loss_rpn_loc``, both divided by the size of a full sample, so
            that an image with few objects weighs as much as any other.
        """
        labels = torch.stack(gt_labels)
        positive, sampled = labels == 1, labels >= 0
        images = len(gt_labels)
        storage = get_event_storage()
        storage.put_scalar("rpn/num_pos_anchors", positive.sum().item() / images)
        storage.put_scalar("rpn/num_neg_anchors", (labels == 0).sum().item() / images)
        logits = torch.cat(pred_objectness_logits, dim=1)[sampled]
        targets = labels[sampled].to(torch.float32)
        sums = {
            "loss_rpn_cls": F.binary_cross_entropy_with_logits(logits, targets, reduction="sum"),
            "loss_rpn_loc": _dense_box_regression_loss(
                anchors, self.box2box_transform, pred_anchor_deltas, gt_boxes, positive,
                box_reg_loss_type=self.box_reg_loss_type, smooth_l1_beta=self.smooth_l1_beta,
            ),
        }  # fmt: skip
        full_sample = self.batch_size_per_image * images
        return {
            name: total / full_sample * self.loss_weight.get(name, 1.0)
            for name, total in sums.items()
        }

    def forward(
        self, images: ImageList, features: dict[str, Tensor],
        gt_instances: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:  # fmt: skip
        """Proposals and, in training mode, losses.

        Args:
            images: N input images; only their sizes are used.
            features: name -> (N, C, Hi, Wi).
            gt_instances: N Instances with ``gt_boxes``; needed in training mode.

        Returns:
            N Instances with ``proposal_boxes`` (pixels) and ``objectness_logits``, and the losses
            (empty at test time).

        Raises:
            ValueError: training mode without ``gt_instances``.
        """
        inputs = [features[name] for name in self.in_features]
        anchors = self.anchor_generator(inputs)
        logit_maps, delta_maps = self.rpn_head(inputs)
        logits = [x.permute(0, 2, 3, 1).flatten(1) for x in logit_maps]
        box_dim = anchors[0].tensor.shape[1]
        deltas = [
            x.unflatten(1, (-1, box_dim)).permute(0, 3, 4, 1, 2).flatten(1, 3) for x in delta_maps
        ]
        losses: dict[str, Tensor] = {}
        if self.training:
            if gt_instances is None:
                raise ValueError("RPN trains only with gt_instances; the inputs have none.")
            labels, boxes = self.label_and_sample_anchors(anchors, gt_instances)
            losses = self.losses(anchors, logits, labels, deltas, boxes)
        return self.predict_proposals(anchors, logits, deltas, images.image_sizes), losses

    def predict_proposals(
        self, anchors: list[Boxes], pred_objectness_logits: list[Tensor],
        pred_anchor_deltas: list[Tensor], image_sizes: list[tuple[int, int]],
    ) -> list[Instances]:  # fmt: skip
        """Decode all predictions and keep the best, see :func:`find_top_rpn_proposals`."""
        # Proposals are constants to the second stage: its gradient does not pass through the boxes
        # ("approximate joint training" in section 3.2 of the paper).
        with torch.no_grad():
            return find_top_rpn_proposals(
                self._decode_proposals(anchors, pred_anchor_deltas), pred_objectness_logits,
                image_sizes, self.nms_thresh, int(self.pre_nms_topk[self.training]),
                int(self.post_nms_topk[self.training]), self.min_box_size, self.training,
            )  # fmt: skip

    def _decode_proposals(
        self, anchors: list[Boxes], pred_anchor_deltas: list[Tensor]
    ) -> list[Tensor]:
        """Boxes (N, Hi * Wi * A, B) of every level from its anchors and deltas."""
        decoded: list[Tensor] = []
        for level_anchors, deltas in zip(anchors, pred_anchor_deltas):  # noqa: B905 (TorchScript)
            repeated = level_anchors.tensor.expand(len(deltas), -1, -1)
            boxes = self.box2box_transform.apply_deltas(
                deltas.flatten(0, 1), repeated.flatten(0, 1)
            )
            decoded.append(boxes.view_as(deltas))
        return decoded
