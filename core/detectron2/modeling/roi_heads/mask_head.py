"""Mask heads of Mask R-CNN (He et al., https://arxiv.org/abs/1703.06870, section 3).

Shape legend: R regions of a batch, K classes (1 if class-agnostic), S side of a square mask.
"""

from collections.abc import Sequence
from typing import Any

import torch
from fvcore.nn.weight_init import c2_msra_fill
from torch import Tensor, nn
from torch.nn import functional as F

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ConvTranspose2d, ShapeSpec, cat, get_norm
from detectron2.layers.wrappers import move_device_like  # noqa: F401
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from detectron2.utils.registry import Registry

from ._box_predictions import split_by_image

ROI_MASK_HEAD_REGISTRY = Registry("ROI_MASK_HEAD")
ROI_MASK_HEAD_REGISTRY.__doc__ = """
Heads that predict masks of regions. An entry is called as ``entry(cfg, input_shape)``.
"""


def build_mask_head(cfg: CfgNode, input_shape: Any) -> nn.Module:
    """The head that ``cfg.MODEL.ROI_MASK_HEAD.NAME`` asks for, for regions of ``input_shape``."""
    return ROI_MASK_HEAD_REGISTRY.get(cfg.MODEL.ROI_MASK_HEAD.NAME)(cfg, input_shape)


def _of_class(logits: Tensor, classes: list[Tensor]) -> Tensor:
    """(R, K, S, S) -> (R, S, S): of each region the mask of its class, or the only mask.

    A class-agnostic head does without the classes, one tensor per image.
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    index = cat(classes).to(logits.device, torch.int64)
    # No count of regions is read: a traced program would keep that of its own image.
    chosen = index[:, None, None, None].expand(-1, 1, logits.shape[2], logits.shape[3])
    return logits.gather(1, chosen)[:, 0]


def _log_mask_statistics(logits: Tensor, truth: Tensor) -> None:
    """Pixel accuracy and error rates of masks (R, S, S) against boolean ones."""
    wrong = (logits > 0) != truth
    pixels, positive = truth.numel(), int(truth.sum())
    missed = int((wrong & truth).sum())
    invented = int(wrong.sum()) - missed
    storage = get_event_storage()
    storage.put_scalar("mask_rcnn/accuracy", 1 - (missed + invented) / max(pixels, 1))
    storage.put_scalar("mask_rcnn/false_positive", invented / max(pixels - positive, 1))
    storage.put_scalar("mask_rcnn/false_negative", missed / max(positive, 1))


def _show_masks(logits: Tensor, truth: Tensor) -> None:
    """Put every predicted mask beside its target into the event storage."""
    storage = get_event_storage()
    pairs = torch.cat([logits.sigmoid(), truth.to(logits.dtype)], dim=2)
    for index, pair in enumerate(pairs):
        title = f"Left: mask prediction;   Right: mask GT ({index})"
        storage.put_image(title, pair.expand(3, -1, -1))


def mask_rcnn_loss(
    pred_mask_logits: Tensor, instances: list[Instances], vis_period: int = 0
) -> Tensor:
    """Mean binary cross entropy of each region's mask for its own class (L_mask of section 3).

    Args:
        pred_mask_logits: (R, K, S, S).
        instances: one an image, R in all, with ``proposal_boxes``, ``gt_masks`` and ``gt_classes``.
        vis_period: iterations between pictures in the event storage; 0 for none.

    Returns:
        a scalar; without any region it is 0 and keeps the graph of the logits.

    Raises:
        ValueError: the predicted masks are not square.
    """
    height, width = pred_mask_logits.shape[-2:]
    if height != width:
        raise ValueError(f"Mask predictions have to be square, not {height} x {width}.")
    filled = [per_image for per_image in instances if len(per_image) > 0]
    if not filled:
        return pred_mask_logits.sum() * 0
    truth = cat(
        [
            per_image.gt_masks.crop_and_resize(per_image.proposal_boxes.tensor, width)
            for per_image in filled
        ]
    ).to(pred_mask_logits.device)
    logits = _of_class(pred_mask_logits, [per_image.gt_classes for per_image in filled])
    truth_bool = truth if truth.dtype == torch.bool else truth > 0.5
    _log_mask_statistics(logits.detach(), truth_bool)
    if vis_period > 0 and get_event_storage().iter % vis_period == 0:
        _show_masks(logits.detach(), truth_bool)
    return F.binary_cross_entropy_with_logits(logits, truth.to(torch.float32))


def mask_rcnn_inference(pred_mask_logits: Tensor, pred_instances: list[Instances]) -> None:
    """Give each prediction the mask of its class, in place.

    Args:
        pred_mask_logits: (R, K, S, S).
        pred_instances: one an image, R in all, with ``pred_classes``. They receive ``pred_masks``,
            probabilities (Ri, 1, S, S) relative to the predicted boxes.
    """
    if len(pred_instances) == 0:
        return
    classes = [per_image.pred_classes for per_image in pred_instances]
    probabilities = _of_class(pred_mask_logits, classes).sigmoid()[:, None]
    parts = split_by_image(probabilities, pred_instances)
    for per_image, masks in zip(pred_instances, parts):  # noqa: B905 (for TorchScript)
        per_image.pred_masks = masks


class BaseMaskRCNNHead(nn.Module):
    """Loss and inference around :meth:`layers`, which a subclass has to define."""

    @configurable
    def __init__(self, *, loss_weight: float = 1.0, vis_period: int = 0) -> None:
        """
        Args:
            loss_weight: factor of the loss.
            vis_period: iterations between pictures in the event storage; 0 for none.
        """
        super().__init__()
        self.loss_weight = loss_weight
        self.vis_period = vis_period

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        """Constructor arguments from the config."""
        return {"vis_period": cfg.VIS_PERIOD}

    # TorchScript takes what has no annotation for a tensor, and finds out what is returned.
    def forward(self, x, instances: list[Instances]):  # type: ignore[no-untyped-def]
        """Losses while training, predictions otherwise.

        Args:
            x: what :meth:`layers` takes: (R, C, H, W) regions, or a dict of features where the
                head has no pooler before it.
            instances: foreground proposals with ground truth in training mode (see
                :func:`mask_rcnn_loss`), predictions otherwise.

        Returns:
            ``{"loss_mask": scalar}``, or ``instances`` with ``pred_masks``.
        """
        logits = self.layers(x)
        if not self.training:
            mask_rcnn_inference(logits, instances)
            return instances
        loss = mask_rcnn_loss(logits, instances, self.vis_period)
        return {"loss_mask": self.loss_weight * loss}

    def layers(self, x: Any) -> Tensor:
        """Region features -> mask logits (R, K, S, S)."""
        raise NotImplementedError(f"{type(self).__name__} does not define layers().")


@ROI_MASK_HEAD_REGISTRY.register()
class MaskRCNNConvUpsampleHead(BaseMaskRCNNHead, nn.Sequential):  # type: ignore[misc]
    """3x3 convolutions, one transposed convolution that doubles the size, one 1x1 predictor.

    Layers are named ``mask_fcn1``, ``mask_fcn2``, ..., ``deconv``, ``predictor`` (figure 4 of the
    paper, right).
    """

    @configurable
    def __init__(
        self, input_shape: ShapeSpec, *, num_classes: int, conv_dims: Sequence[int],
        conv_norm: Any = "", **kwargs: Any,
    ) -> None:  # fmt: skip
        """
        Args:
            input_shape: its ``channels`` are those of the regions.
            num_classes: masks a region; 1 for a class-agnostic head.
            conv_dims: output channels of the convolutions, and last of the transposed one.
            conv_norm: norm of the convolutions, see :func:`detectron2.layers.get_norm`.
            kwargs: for :class:`BaseMaskRCNNHead`.

        Raises:
            ValueError: ``conv_dims`` is empty, or ``input_shape`` has no channels.
        """
        super().__init__(**kwargs)
        if not conv_dims:
            raise ValueError("conv_dims needs at least one entry, for the transposed convolution.")
        channels = input_shape.channels
        if channels is None:
            raise ValueError(f"A mask head needs the number of channels, not {input_shape}.")
        self.conv_norm_relus: list[nn.Module] = []
        *hidden_dims, upsampled = conv_dims
        for number, dim in enumerate(hidden_dims, start=1):
            block = Conv2d(
                channels, dim, 3, padding=1, bias=not conv_norm, norm=get_norm(conv_norm, dim),
                activation=nn.ReLU(),
            )  # fmt: skip
            self.add_module(f"mask_fcn{number}", block)
            self.conv_norm_relus.append(block)
            channels = dim
        self.deconv = ConvTranspose2d(channels, upsampled, kernel_size=2, stride=2)
        self.add_module("deconv_relu", nn.ReLU())
        self.predictor = Conv2d(upsampled, num_classes, kernel_size=1)
        for layer in (*self.conv_norm_relus, self.deconv):
            c2_msra_fill(layer)
        # Small, so that training starts with probabilities near one half.
        nn.init.normal_(self.predictor.weight, std=0.001)
        if self.predictor.bias is not None:
            nn.init.zeros_(self.predictor.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL.ROI_MASK_HEAD``."""
        head = cfg.MODEL.ROI_MASK_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "input_shape": input_shape,
            "conv_norm": head.NORM,
            "conv_dims": [head.CONV_DIM] * (head.NUM_CONV + 1),
            "num_classes": 1 if head.CLS_AGNOSTIC_MASK else cfg.MODEL.ROI_HEADS.NUM_CLASSES,
        }

    def layers(self, x: Tensor) -> Tensor:
        """(R, C, H, W) -> logits (R, K, 2H, 2W)."""
        for layer in self:
            x = layer(x)
        return x
