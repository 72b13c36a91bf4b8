"""RoI heads of Grid R-CNN (arXiv 1811.12030)."""

from typing import Any

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, StandardROIHeads
from detectron2.modeling.roi_heads.roi_heads import select_foreground_proposals
from detectron2.structures import Boxes, Instances
from projects_ext.layers.grid_points import decode_boxes, jitter_boxes
from projects_ext.modeling import build_roi_pooler
from projects_ext.modeling.roi_heads import RegisteredPoolers

from .class_predictor import ClassPredictor
from .grid_head import GridHead


@ROI_HEADS_REGISTRY.register()
class GridROIHeads(RegisteredPoolers, StandardROIHeads):
    """A box branch that classifies, and a grid branch that finds the boxes of its detections.

    In training the grid branch learns on the foreground proposals, moved and scaled at random. At
    test time it takes the boxes that are left after score threshold and NMS, and gives them new
    corners; scores and classes stay.

    Args:
        grid_in_features: names of the features that are pooled for it.
        grid_pooler: pools them.
        grid_head: from region features to heatmaps.
        jitter: of boxes in training, as a share of their sides.
        max_grid_regions: of a batch, drawn at random.
        others: of ``StandardROIHeads``; ``box_predictor`` is a :class:`ClassPredictor`.
    """

    @configurable
    def __init__(
        self,
        *,
        grid_in_features: list[str],
        grid_pooler: nn.Module,
        grid_head: GridHead,
        jitter: float = 0.15,
        max_grid_regions: int = 192,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.grid_in_features = grid_in_features
        self.grid_pooler, self.grid_head = grid_pooler, grid_head
        self.jitter, self.max_grid_regions = jitter, max_grid_regions

    @classmethod
    def from_config(  # type: ignore[override]
        cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]
    ) -> dict[str, Any]:
        """The parts that the config describes, those of the grid by MODEL.ROI_GRID_HEAD."""
        parts = super().from_config(cfg, input_shape)
        options = cfg.MODEL.ROI_GRID_HEAD
        names = cfg.MODEL.ROI_HEADS.IN_FEATURES
        side = options.POOLER_RESOLUTION
        region = ShapeSpec(channels=input_shape[names[0]].channels, height=side, width=side)
        return {
            **parts,
            "box_predictor": ClassPredictor(cfg, parts["box_head"].output_shape),
            "grid_in_features": names,
            "grid_pooler": build_roi_pooler(cfg, options, input_shape),
            "grid_head": GridHead(cfg, region),
            "jitter": options.JITTER,
            "max_grid_regions": options.MAX_REGIONS,
        }

    def _forward_box(self, features: dict[str, Tensor], proposals: list[Instances]) -> Any:
        """Class losses and grid losses while training, otherwise refined detections."""
        if not self.training:
            return self._refine(features, super()._forward_box(features, proposals))
        losses = super()._forward_box(features, proposals)
        return {**losses, **self._grid_losses(features, proposals)}

    def _heatmaps(self, features: dict[str, Tensor], boxes: list[Boxes]) -> Any:
        maps = [features[name] for name in self.grid_in_features]
        return self.grid_head(self.grid_pooler(maps, boxes))

    def _grid_losses(
        self, features: dict[str, Tensor], proposals: list[Instances]
    ) -> dict[str, Tensor]:
        foreground = select_foreground_proposals(proposals, self.num_classes)[0]
        sampled = self._sample(foreground)
        boxes, targets = [], []
        for image in sampled:
            moved = Boxes(jitter_boxes(image.proposal_boxes.tensor, self.jitter))
            moved.clip(image.image_size)
            boxes.append(moved)
            # The proposals of an image without objects have no such field, and are none.
            targets.append(image.gt_boxes if image.has("gt_boxes") else moved)
        heatmaps = self._heatmaps(features, boxes)
        return self.grid_head.losses(heatmaps, Boxes.cat(boxes).tensor, Boxes.cat(targets).tensor)

    def _sample(self, foreground: list[Instances]) -> list[Instances]:
        """At most ``max_grid_regions`` of all images together."""
        counts = [len(image) for image in foreground]
        total = sum(counts)
        if total <= self.max_grid_regions:
            return foreground
        device = foreground[0].proposal_boxes.device
        kept = torch.zeros(total, dtype=torch.bool, device=device)
        kept[torch.randperm(total, device=device)[: self.max_grid_regions]] = True
        return [image[part] for image, part in zip(foreground, kept.split(counts), strict=True)]

    def _refine(self, features: dict[str, Tensor], detections: list[Instances]) -> list[Instances]:
        """Detections with the boxes that their grid points tell, clipped to the images."""
        boxes = [image.pred_boxes for image in detections]
        regions = Boxes.cat(boxes).tensor
        if len(regions) == 0:
            return detections
        found = decode_boxes(regions, self._heatmaps(features, boxes).fused.float().sigmoid())
        for image, part in zip(detections, found.split([len(x) for x in boxes]), strict=True):
            image.pred_boxes = Boxes(part)
            image.pred_boxes.clip(image.image_size)
        return detections
