"""Semantic segmentation: the meta-architecture and the head of Panoptic FPN.

Shape legend: N images of H x W pixels after padding, K classes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from fvcore.nn.weight_init import c2_msra_fill
from torch import Tensor, nn
from torch.nn import functional as F

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.structures import ImageList
from detectron2.utils.registry import Registry

from ..backbone import Backbone, build_backbone
from ..postprocessing import sem_seg_postprocess
from .build import META_ARCH_REGISTRY

SEM_SEG_HEADS_REGISTRY = Registry("SEM_SEG_HEADS")
SEM_SEG_HEADS_REGISTRY.__doc__ = """
Heads that predict a class for every pixel. An entry is called as ``entry(cfg, input_shape)``; the
module is called as ``module(features, targets)`` and gives ``(logits, losses)``.
"""


def build_sem_seg_head(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """The head that ``cfg.MODEL.SEM_SEG_HEAD.NAME`` asks for."""
    return SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)(cfg, input_shape)


@META_ARCH_REGISTRY.register()
class SemanticSegmentor(nn.Module):
    """Normalised images -> backbone -> semantic head -> logits at the wanted size."""

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self, *, backbone: Backbone, sem_seg_head: nn.Module, pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ) -> None:  # fmt: skip
        """
        Args:
            backbone: images -> dict of features.
            sem_seg_head: features and targets -> logits and losses, see :class:`SemSegFPNHead`.
            pixel_mean: a value a channel, in the order of the input's channels.
            pixel_std: as ``pixel_mean``.
        """
        super().__init__()
        self.backbone, self.sem_seg_head = backbone, sem_seg_head
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL``."""
        backbone = build_backbone(cfg)
        head = build_sem_seg_head(cfg, backbone.output_shape())
        mean, std = cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD
        return {"backbone": backbone, "sem_seg_head": head, "pixel_mean": mean, "pixel_std": std}

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.pixel_mean.device

    def _batch(self, tensors: list[Tensor], pad_value: float = 0.0) -> ImageList:
        """Images or label maps on the model's device, padded to a common size."""
        return ImageList.from_tensors(
            [tensor.to(self.device) for tensor in tensors], self.backbone.size_divisibility,
            pad_value, self.backbone.padding_constraints,
        )  # fmt: skip

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Losses while training, predictions otherwise.

        Args:
            batched_inputs: N dicts with ``image`` (C, H, W), in training mode ``sem_seg`` (H, W) of
                class indices, and optionally the wanted output size ``height`` and ``width``.

        Returns:
            a dict of losses, or N dicts with ``sem_seg``: logits (K, height, width).
        """
        mean, std = self.pixel_mean, self.pixel_std
        images = self._batch([(x["image"].to(self.device) - mean) / std for x in batched_inputs])
        targets = None
        if "sem_seg" in batched_inputs[0]:
            labels = [x["sem_seg"] for x in batched_inputs]
            ignored: Any = self.sem_seg_head.ignore_value
            targets = self._batch(labels, ignored).tensor
        logits, losses = self.sem_seg_head(self.backbone(images.tensor), targets)
        if self.training:
            return losses
        outputs = []
        for per_image, sample, size in zip(logits, batched_inputs, images.image_sizes, strict=True):
            height, width = sample.get("height", size[0]), sample.get("width", size[1])
            outputs.append({"sem_seg": sem_seg_postprocess(per_image, size, height, width)})
        return outputs


@SEM_SEG_HEADS_REGISTRY.register()
class SemSegFPNHead(nn.Module):
    """Every FPN level is brought to one stride by convolutions and x2 upsampling, and they add up.

    Kirillov et al., "Panoptic Feature Pyramid Networks", https://arxiv.org/abs/1901.02446, section
    3.1 and figure 3. A level's layers are named after its feature.
    """

    @configurable
    def __init__(
        self, input_shape: dict[str, ShapeSpec], *, num_classes: int, conv_dims: int,
        common_stride: int, loss_weight: float = 1.0,
        norm: str | Callable[..., nn.Module] | None = None, ignore_value: int = -1,
    ) -> None:  # fmt: skip
        """
        Args:
            input_shape: feature name -> its channels and stride.
            num_classes: K.
            conv_dims: channels of all convolutions but the last.
            common_stride: stride of the sum, in pixels.
            loss_weight: factor of the loss.
            norm: see :func:`detectron2.layers.get_norm`.
            ignore_value: the label of pixels that do not train.

        Raises:
            ValueError: no features, or one without channels or stride.
        """
        super().__init__()
        if not input_shape or any(not x.stride or not x.channels for x in input_shape.values()):
            raise ValueError(
                f"The head needs features with channels and strides, not {input_shape}."
            )
        by_stride = sorted(input_shape, key=lambda name: input_shape[name].stride or 0)
        self.in_features = by_stride
        self.common_stride, self.ignore_value = common_stride, ignore_value
        self.loss_weight = loss_weight
        self.scale_heads: list[nn.Module] = []
        for name in by_stride:
            level = self._level(input_shape[name], conv_dims, common_stride, norm)
            self.add_module(name, level)
            self.scale_heads.append(level)
        self.predictor = Conv2d(conv_dims, num_classes, kernel_size=1)
        c2_msra_fill(self.predictor)

    @staticmethod
    def _level(shape: ShapeSpec, dim: int, common_stride: int, norm: Any) -> nn.Sequential:
        """Layers that bring a feature of ``shape`` to ``dim`` channels and the common stride."""
        stride, channels = shape.stride or common_stride, shape.channels
        doublings = int(math.log2(stride) - math.log2(common_stride))
        layers: list[nn.Module] = []
        for _ in range(max(doublings, 1)):
            block = Conv2d(
                channels, dim, 3, padding=1, bias=not norm, norm=get_norm(norm, dim),
                activation=F.relu,
            )  # fmt: skip
            c2_msra_fill(block)
            layers.append(block)
            channels = dim
            if stride != common_stride:
                layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
        return nn.Sequential(*layers)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL.SEM_SEG_HEAD``."""
        head = cfg.MODEL.SEM_SEG_HEAD
        return {
            "input_shape": {k: v for k, v in input_shape.items() if k in head.IN_FEATURES},
            "common_stride": head.COMMON_STRIDE,
            "conv_dims": head.CONVS_DIM,
            "ignore_value": head.IGNORE_VALUE,
            "loss_weight": head.LOSS_WEIGHT,
            "norm": head.NORM,
            "num_classes": head.NUM_CLASSES,
        }

    def forward(
        self, features: dict[str, Tensor], targets: Tensor | None = None
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """``(None, losses)`` while training, ``(logits (N, K, H, W), {})`` otherwise.

        Args:
            features: name -> (N, C, Hi, Wi).
            targets: (N, H, W) class indices; in training mode only.
        """
        logits = self.layers(features)
        if self.training:
            return None, self.losses(logits, targets)
        return self._to_image_size(logits), {}

    def layers(self, features: dict[str, Tensor]) -> Tensor:
        """Logits (N, K, H / common_stride, W / common_stride)."""
        total: Any = 0
        for name, level in zip(self.in_features, self.scale_heads, strict=True):
            total = total + level(features[name])
        return self.predictor(total)

    def _to_image_size(self, logits: Tensor) -> Tensor:
        return F.interpolate(
            logits, scale_factor=self.common_stride, mode="bilinear", align_corners=False
        )

    def losses(self, predictions: Tensor, targets: Tensor | None) -> dict[str, Tensor]:
        """``loss_sem_seg``: mean cross entropy over labelled pixels, 0 if there is none.

        Args:
            predictions: logits from :meth:`layers`. In half precision they are upsampled as
                float32.
            targets: (N, H, W) class indices.

        Raises:
            ValueError: training without targets.
        """
        if targets is None:
            raise ValueError("The semantic head trains only with sem_seg labels; there are none.")
        logits = self._to_image_size(predictions.float())
        ignored = self.ignore_value
        total = F.cross_entropy(logits, targets, ignore_index=ignored, reduction="sum")
        labelled = (targets != ignored).sum().clamp(min=1)
        return {"loss_sem_seg": total / labelled * self.loss_weight}
