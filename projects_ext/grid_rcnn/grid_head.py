"""The grid head: heatmaps of a box's grid points (Grid R-CNN, arXiv 1811.12030, Fig. 2 and 3)."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec
from projects_ext.layers.grid_points import grid_targets, neighbours

PRIOR = 0.01
"""The probability of a point that a fresh head gives everywhere."""


class Heatmaps(NamedTuple):
    """Logits (R, G, M, M) after the fusion of neighbours, and in training before it."""

    fused: Tensor
    unfused: Tensor | None


def _transition(channels: int) -> nn.Sequential:
    """From a neighbour's features: a depthwise 5x5 and a 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 5, padding=2, groups=channels),
        nn.Conv2d(channels, channels, 1),
    )


def _transitions(around: list[list[int]], channels: int) -> nn.ModuleList:
    """One for each point and neighbour."""
    return nn.ModuleList(nn.ModuleList(_transition(channels) for _ in found) for found in around)


class GridHead(nn.Module):
    """From region features to one heatmap for each grid point.

    Convolutions, the first with stride 2; then each point has channels of its own, to which those
    of its neighbours are added in one step, and to those again in a second; then two
    deconvolutions, apart for each point. In training the heatmaps are also made without the fusion.

    Args:
        input_shape: channels of the region features; their sides must be a multiple of 2, and the
            heatmaps' sides M are twice as long.
        grid_size: S, points along a side.
        num_convs: convolutions of the trunk.
        point_channels: channels of a point.
        norm_groups: groups of the trunk's GroupNorm.
        loss_weight: of the mean binary cross entropy.
    """

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        grid_size: int = 3,
        num_convs: int = 8,
        point_channels: int = 64,
        norm_groups: int = 36,
        loss_weight: float = 15.0,
    ) -> None:
        super().__init__()
        self.grid_size, self.loss_weight = grid_size, loss_weight
        points = grid_size**2
        width = points * point_channels
        self.convs = nn.Sequential(
            *(
                Conv2d(
                    (input_shape.channels or 0) if index == 0 else width,
                    width,
                    3,
                    stride=2 if index == 0 else 1,
                    padding=1,
                    norm=nn.GroupNorm(norm_groups, width),
                    activation=nn.ReLU(inplace=True),
                )
                for index in range(num_convs)
            )
        )
        self.around = neighbours(grid_size)
        self.first_order = _transitions(self.around, point_channels)
        self.second_order = _transitions(self.around, point_channels)
        self.deconv1 = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, groups=points)
        self.norm1 = nn.GroupNorm(points, width)
        self.deconv2 = nn.ConvTranspose2d(width, points, 4, stride=2, padding=1, groups=points)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.001)
        # A bias of the head is 0, but for the last one's; those of the norms are 0 as they are.
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                last = name == "deconv2.bias"
                nn.init.constant_(value, -math.log((1 - PRIOR) / PRIOR) if last else 0.0)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        """The arguments that ``cfg.MODEL.ROI_GRID_HEAD`` holds."""
        options = cfg.MODEL.ROI_GRID_HEAD
        return {
            "input_shape": input_shape,
            "grid_size": options.GRID_SIZE,
            "num_convs": options.NUM_CONV,
            "point_channels": options.POINT_CHANNELS,
            "norm_groups": options.NORM_GROUPS,
            "loss_weight": options.LOSS_WEIGHT,
        }

    def forward(self, x: Tensor) -> Heatmaps:
        """From (R, C, h, w) to logits (R, G, 2h, 2w); R may be 0."""
        x = self.convs(x)
        points = list(x.chunk(self.grid_size**2, dim=1))
        near = self._fuse(points, points, self.first_order)
        far = self._fuse(points, near, self.second_order)
        fused = self._upsample(torch.cat(far, dim=1))
        return Heatmaps(fused, self._upsample(x) if self.training else None)

    def _fuse(
        self, points: list[Tensor], sources: list[Tensor], transitions: nn.ModuleList
    ) -> list[Tensor]:
        """Every point's features plus what its neighbours say (section 3.3)."""
        fused = []
        modules: Any
        for features, around, modules in zip(points, self.around, transitions, strict=True):
            for index, module in zip(around, modules, strict=True):
                features = features + module(sources[index])
            fused.append(features)
        return fused

    def _upsample(self, x: Tensor) -> Tensor:
        return self.deconv2(F.relu(self.norm1(self.deconv1(x))))

    def losses(self, heatmaps: Heatmaps, boxes: Tensor, gt_boxes: Tensor) -> dict[str, Tensor]:
        """Binary cross entropy of both heatmaps with the same targets.

        Args:
            heatmaps: of the regions.
            boxes: (R, 4) the regions.
            gt_boxes: (R, 4) the box that each is to find.
        """
        assert heatmaps.unfused is not None
        both = torch.stack([heatmaps.fused, heatmaps.unfused]).float()
        if len(boxes) == 0:
            # Zero, and yet a part of the graph: every process has the same gradients to share.
            return {"loss_grid": both.sum() * 0}
        targets = grid_targets(boxes, gt_boxes, self.grid_size, both.shape[-1])
        loss = F.binary_cross_entropy_with_logits(both, targets.to(both.dtype).expand_as(both))
        return {"loss_grid": 2 * self.loss_weight * loss}
