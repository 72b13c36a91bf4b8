"""Meta-architectures of two-stage detectors: images in, ``Instances`` or losses out.

Shape legend: N images; boxes are x0, y0, x1, y1 in pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.layers.wrappers import move_device_like  # noqa: F401
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from detectron2.utils.logger import log_first_n  # noqa: F401
from detectron2.utils.visualizer import Visualizer

from ..backbone import Backbone, build_backbone
from ..postprocessing import detector_postprocess
from ..proposal_generator import build_proposal_generator
from ..roi_heads import build_roi_heads
from .build import META_ARCH_REGISTRY

# So many proposals are drawn in a picture of the training; more would hide the image.
_DRAWN_PROPOSALS = 20


def _normalise_and_batch(
    batched_inputs: list[dict[str, Any]], mean: Tensor, std: Tensor, backbone: Backbone
) -> ImageList:
    """The inputs' images on the device of ``mean``, normalised and padded to a common size."""
    normalised = [(x["image"].to(mean.device) - mean) / std for x in batched_inputs]
    return ImageList.from_tensors(
        normalised, backbone.size_divisibility, padding_constraints=backbone.padding_constraints
    )


def _resize_to_output(
    results: Sequence[Instances], batched_inputs: list[dict[str, Any]],
    image_sizes: Sequence[tuple[int, int]],
) -> list[Instances]:  # fmt: skip
    """Predictions in pixels of the sizes that the inputs ask for, by default of the network's."""
    resized = []
    for found, sample, size in zip(results, batched_inputs, image_sizes, strict=True):
        height, width = sample.get("height", size[0]), sample.get("width", size[1])
        resized.append(detector_postprocess(found, height, width))
    return resized


def _register_normalisation(model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
    """Buffers ``pixel_mean`` and ``pixel_std`` (C, 1, 1) that checkpoints do not hold."""
    if len(mean) != len(std):
        raise ValueError(f"pixel_mean {tuple(mean)} and pixel_std {tuple(std)} differ in length.")
    for name, values in (("pixel_mean", mean), ("pixel_std", std)):
        model.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)


@META_ARCH_REGISTRY.register()
class GeneralizedRCNN(nn.Module):
    """Backbone, proposal generator, RoI heads: Faster R-CNN, Mask R-CNN and their relatives."""

    pixel_mean: Tensor
    pixel_std: Tensor
    # Any module of the right interface will do.
    proposal_generator: Any
    roi_heads: Any

    @configurable
    def __init__(
        self, *, backbone: Backbone, proposal_generator: nn.Module | None, roi_heads: nn.Module,
        pixel_mean: Sequence[float], pixel_std: Sequence[float], input_format: str | None = None,
        vis_period: int = 0,
    ) -> None:  # fmt: skip
        """
        Args:
            backbone: images -> dict of features.
            proposal_generator: features -> proposals; None if ``proposals`` come with the inputs.
            roi_heads: features and proposals -> losses or detections.
            pixel_mean: a value a channel, in the order of the input's channels.
            pixel_std: as ``pixel_mean``.
            input_format: the order of the input's channels, "BGR" or "RGB"; for pictures only.
            vis_period: iterations between pictures in the event storage; 0 for none.

        Raises:
            ValueError: ``pixel_mean`` and ``pixel_std`` differ in length, or ``vis_period`` is set
                without ``input_format``.
        """
        super().__init__()
        if vis_period > 0 and input_format is None:
            raise ValueError("vis_period needs input_format: without it the colours are unknown.")
        self.backbone = backbone
        self.proposal_generator = proposal_generator
        self.roi_heads = roi_heads
        self.input_format, self.vis_period = input_format, vis_period
        _register_normalisation(self, pixel_mean, pixel_std)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Constructor arguments from the whole YAML config."""
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        return {
            "backbone": backbone,
            "input_format": cfg.INPUT.FORMAT,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "proposal_generator": build_proposal_generator(cfg, shapes),
            "roi_heads": build_roi_heads(cfg, shapes),
            "vis_period": cfg.VIS_PERIOD,
        }

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.pixel_mean.device

    def _move_to_current_device(self, x: Any) -> Any:
        return x.to(self.device)

    def visualize_training(
        self, batched_inputs: list[dict[str, Any]], proposals: list[Instances]
    ) -> None:
        """Put the first image with its boxes beside its best proposals into the event storage."""
        if not batched_inputs:
            return
        sample, best = batched_inputs[0], proposals[0].proposal_boxes[:_DRAWN_PROPOSALS]
        image = convert_image_to_rgb(sample["image"].permute(1, 2, 0), self.input_format or "RGB")
        panels = [
            Visualizer(image, None).overlay_instances(boxes=boxes.to("cpu")).get_image()
            for boxes in (sample["instances"].gt_boxes, best)
        ]
        picture = np.concatenate(panels, axis=1).transpose(2, 0, 1)
        title = "Left: GT bounding boxes;  Right: Predicted proposals"
        get_event_storage().put_image(title, picture)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Losses while training, detections otherwise.

        Args:
            batched_inputs: N dicts with ``image`` (C, H, W), in training mode ``instances`` (the
                ground truth), optionally ``proposals``, and the wanted output size ``height`` and
                ``width``.

        Returns:
            a dict of losses, or N dicts with ``instances``: boxes, scores, classes and, with a
            mask branch, boolean ``pred_masks`` (R, height, width).
        """
        if not self.training:
            return self.inference(batched_inputs)
        images = self.preprocess_image(batched_inputs)
        truth: list[Instances] | None = None
        if "instances" in batched_inputs[0]:
            truth = [self._move_to_current_device(x["instances"]) for x in batched_inputs]
        features = self.backbone(images.tensor)
        proposals, proposal_losses = self._propose(images, features, batched_inputs, truth)
        losses = self.roi_heads(images, features, proposals, truth)[1]
        if self.vis_period > 0 and get_event_storage().iter % self.vis_period == 0:
            self.visualize_training(batched_inputs, proposals)
        return {**losses, **proposal_losses}

    def _propose(
        self, images: ImageList, features: dict[str, Tensor],
        batched_inputs: list[dict[str, Any]], truth: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:  # fmt: skip
        """Proposals from the generator, or else from the inputs, and the generator's losses."""
        if self.proposal_generator is not None:
            return self.proposal_generator(images, features, truth)
        if "proposals" not in batched_inputs[0]:
            raise ValueError("A model without proposal_generator needs inputs with 'proposals'.")
        return [self._move_to_current_device(x["proposals"]) for x in batched_inputs], {}

    def inference(
        self, batched_inputs: list[dict[str, Any]],
        detected_instances: list[Instances] | None = None, do_postprocess: bool = True,
    ) -> Any:  # fmt: skip
        """Detections.

        Args:
            batched_inputs: as in :meth:`forward`.
            detected_instances: N Instances with ``pred_boxes`` and ``pred_classes`` in pixels of
                the network's input: their masks are predicted, and nothing is detected.
            do_postprocess: bring the results to the wanted output size and full-image masks.

        Returns:
            N dicts with ``instances``; without post-processing N Instances in pixels of the
            network's input.
        """
        if self.training:
            raise RuntimeError("inference() is not for training mode: call model.eval() first.")
        images = self.preprocess_image(batched_inputs)
        features = self.backbone(images.tensor)
        if detected_instances is not None:
            known = [self._move_to_current_device(x) for x in detected_instances]
            found = self.roi_heads.forward_with_given_boxes(features, known)
        else:
            proposals, _ = self._propose(images, features, batched_inputs)
            found, _ = self.roi_heads(images, features, proposals, None)
        if not do_postprocess:
            return found
        return self._postprocess(found, batched_inputs, images.image_sizes)

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalise the inputs' ``image`` entries and pad them to one batch."""
        return _normalise_and_batch(batched_inputs, self.pixel_mean, self.pixel_std, self.backbone)

    @staticmethod
    def _postprocess(
        instances: list[Instances], batched_inputs: list[dict[str, Any]],
        image_sizes: list[tuple[int, int]],
    ) -> list[dict[str, Instances]]:  # fmt: skip
        """Bring predictions to the size that the inputs ask for."""
        resized = _resize_to_output(instances, batched_inputs, image_sizes)
        return [{"instances": result} for result in resized]


@META_ARCH_REGISTRY.register()
class ProposalNetwork(nn.Module):
    """Backbone and proposal generator alone."""

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self, *, backbone: Backbone, proposal_generator: nn.Module, pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ) -> None:  # fmt: skip
        """
        Args:
            backbone: images -> dict of features.
            proposal_generator: features -> proposals.
            pixel_mean: a value a channel, in the order of the input's channels.
            pixel_std: as ``pixel_mean``.
        """
        super().__init__()
        self.backbone, self.proposal_generator = backbone, proposal_generator
        _register_normalisation(self, pixel_mean, pixel_std)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Constructor arguments from the whole YAML config."""
        backbone = build_backbone(cfg)
        generator = build_proposal_generator(cfg, backbone.output_shape())
        mean, std = cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD
        return {
            "backbone": backbone, "proposal_generator": generator,
            "pixel_mean": mean, "pixel_std": std,
        }  # fmt: skip

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.pixel_mean.device

    def _move_to_current_device(self, x: Any) -> Any:
        return x.to(self.device)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Losses while training, otherwise N dicts with ``proposals`` at the wanted output size.

        Args:
            batched_inputs: as for :meth:`GeneralizedRCNN.forward`.
        """
        images = _normalise_and_batch(
            batched_inputs, self.pixel_mean, self.pixel_std, self.backbone
        )
        truth: list[Instances] | None = None
        if "instances" in batched_inputs[0]:
            truth = [self._move_to_current_device(x["instances"]) for x in batched_inputs]
        features = self.backbone(images.tensor)
        proposals, losses = self.proposal_generator(images, features, truth)
        if self.training:
            return losses
        resized = _resize_to_output(proposals, batched_inputs, images.image_sizes)
        return [{"proposals": result} for result in resized]
