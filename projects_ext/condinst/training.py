"""What every location is to learn, and the losses of a batch (arXiv 2003.05664, section 3.3).

Shapes: N images, S positive locations of the batch; otherwise as in :mod:`.locations`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from detectron2.structures import Instances

from .ground_truth import SampledMasks, sample_masks, semantic_targets
from .head import Predictions
from .locations import (
    Locations,
    box_distances,
    centerness,
    locations_of,
    match_locations,
    share_fairly,
)
from .losses import focal_loss, location_losses, positives
from .mask_head import DynamicMaskHead


class FlatPredictions(NamedTuple):
    """Predictions of all levels, (N, R, …) each; see :class:`Predictions`."""

    logits: Tensor
    distances: Tensor
    centerness: Tensor
    parameters: Tensor


class Positives(NamedTuple):
    """The locations that learn an instance.

    Attributes:
        images: (S,) int64, ascending.
        places: (S,) int64 among the image's R locations.
        instances: (S,) int64 among the image's instances.
    """

    images: Tensor
    places: Tensor
    instances: Tensor


def flatten(predictions: Predictions) -> FlatPredictions:
    """Put the levels behind one another."""
    return FlatPredictions(
        *(torch.cat([x.flatten(2) for x in maps], dim=2).mT for maps in predictions)
    )


@dataclass(frozen=True)
class Criterion:
    """The losses of CondInst. Their denominators are means over all processes.

    Attributes:
        center_sampling_radius: a location learns an instance if it is less than so many strides
            from its centre, in x and in y.
        focal_alpha, focal_gamma: of the focal losses.
        max_masks: of a batch, train; shared fairly between images and instances.
    """

    center_sampling_radius: float = 1.5
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    max_masks: int = 300

    def losses(
        self,
        predictions: Predictions,
        strides: Sequence[int],
        mask_features: Tensor,
        mask_head: DynamicMaskHead,
        gt_instances: Sequence[Instances],
    ) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_box_reg``, ``loss_centerness`` and ``loss_mask`` of a batch.

        Args:
            predictions: of the head.
            strides: of its levels.
            mask_features: (N, C, H, W).
            mask_head: makes masks of them.
            gt_instances: an image each, with ``gt_boxes``, ``gt_classes`` and ``gt_masks``.
        """
        factor = mask_head.stride // mask_head.out_stride
        size = (mask_features.shape[-2] * factor, mask_features.shape[-1] * factor)
        samples = [sample_masks(x, mask_head.out_stride, size) for x in gt_instances]
        locations = locations_of(predictions.logits, strides)
        matched = self.match(locations, strides, gt_instances, samples)
        flat = flatten(predictions)
        images, places = (matched >= 0).nonzero().unbind(dim=1)
        found = Positives(images, places, matched[images, places])
        count = positives(len(images), mask_features)
        return {
            "loss_cls": self._classification(flat.logits, matched, gt_instances) / count,
            **_location_losses(flat, locations, found, gt_instances, count),
            "loss_mask": self._mask_loss(flat, locations, found, mask_features, mask_head, samples),
        }

    def match(
        self,
        locations: Locations,
        strides: Sequence[int],
        gt_instances: Sequence[Instances],
        samples: Sequence[SampledMasks],
    ) -> Tensor:
        """The instance that each location of each image learns: (N, R) int64, -1 for none."""
        return torch.stack(
            [
                match_locations(
                    locations.shapes,
                    strides,
                    truth.gt_boxes.tensor,
                    sampled.centers,
                    self.center_sampling_radius,
                )
                for truth, sampled in zip(gt_instances, samples, strict=True)
            ]
        )

    def _classification(
        self, logits: Tensor, matched: Tensor, gt_instances: Sequence[Instances]
    ) -> Tensor:
        """The sum of the focal loss; ``logits`` (N, R, K)."""
        background = logits.shape[-1]
        labels = [
            # The last entry is what -1 finds.
            torch.cat((x.gt_classes, x.gt_classes.new_full((1,), background)))[found]
            for x, found in zip(gt_instances, matched, strict=True)
        ]
        return focal_loss(logits, torch.stack(labels), self.focal_alpha, self.focal_gamma)

    def _mask_loss(
        self,
        flat: FlatPredictions,
        locations: Locations,
        found: Positives,
        mask_features: Tensor,
        mask_head: DynamicMaskHead,
        samples: Sequence[SampledMasks],
    ) -> Tensor:
        """The mean dice loss of the chosen locations' masks."""
        chosen = self._choose(flat, found)
        images, places, instances = (values[chosen] for values in found)
        parameters = flat.parameters[images, places]
        # Zero, and a part of the graph: other processes wait for these gradients.
        total = (parameters.sum() + mask_features.sum()).float() * 0
        for index, sampled in enumerate(samples):
            here = (images == index).nonzero().squeeze(1)
            if len(here):
                total = total + mask_head.loss(
                    mask_features[index],
                    parameters[here],
                    locations.points[places[here]],
                    locations.strides[places[here]],
                    sampled.masks,
                    instances[here],
                )
        return total / positives(len(images), mask_features)

    @torch.no_grad()
    def _choose(self, flat: FlatPredictions, found: Positives) -> Tensor:
        """The positive locations whose masks train: the surest of each instance."""
        classes = flat.logits[found.images, found.places].amax(dim=1)
        centers = flat.centerness[found.images, found.places].squeeze(1)
        quality = classes.float().sigmoid() * centers.float().sigmoid()
        return share_fairly(found.instances, found.images, quality, self.max_masks)

    def semantic_loss(
        self, logits: Tensor, stride: int, gt_instances: Sequence[Instances]
    ) -> dict[str, Tensor]:
        """``loss_semantic``: the focal loss of every cell's class, over the cells with instances.

        Args:
            logits: (N, K, H, W).
            stride: of the cells.
            gt_instances: an image each.
        """
        background = logits.shape[1]
        labels = []
        for truth in gt_instances:
            masks, _, areas = sample_masks(truth, stride, (logits.shape[2], logits.shape[3]))
            labels.append(semantic_targets(masks, areas, truth.gt_classes, background))
        target = torch.stack(labels)
        count = positives(int((target < background).sum()), logits)
        logits = logits.permute(0, 2, 3, 1)
        total = focal_loss(logits, target, self.focal_alpha, self.focal_gamma)
        return {"loss_semantic": total / count}


def _location_losses(
    flat: FlatPredictions,
    locations: Locations,
    found: Positives,
    gt_instances: Sequence[Instances],
    count: Tensor,
) -> dict[str, Tensor]:
    """Box and centerness losses of the positive locations."""
    images, places, instances = found
    boxes = [x.gt_boxes.tensor for x in gt_instances]
    first = torch.tensor([0, *map(len, boxes)], device=images.device).cumsum(dim=0)
    boxes_of_all = torch.cat(boxes)[first[images] + instances]
    target = box_distances(locations.points[places], boxes_of_all)
    target = target / locations.strides[places][:, None]
    return location_losses(
        flat.distances[images, places],
        flat.centerness[images, places].squeeze(1),
        target,
        centerness(target),
        count,
    )
