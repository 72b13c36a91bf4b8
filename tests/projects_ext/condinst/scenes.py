"""Small made-up predictions and ground truth for tests of CondInst."""

from typing import Any

import torch
from torch import Tensor

from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from projects_ext.condinst import Predictions
from tests.procedural import procedural_noise
from tests.references.condinst import Truth

STRIDES = [8, 16, 32]
HEIGHT, WIDTH = 64, 96
"""Of the padded image."""

OBJECTS: list[list[list[float]]] = [
    [
        [10, 12, 50, 14, 45, 60, 12, 55],
        [30, 20, 62, 26, 40, 50],
        [70, 30, 90, 33, 88, 58, 66, 50],
        # Smaller than a cell.
        [81, 5, 84, 5, 84, 7, 81, 7],
    ],
    [],
    [[5, 5, 90, 3, 92, 60, 4, 58], [40.5, 31.25, 71, 29, 60, 55.75]],
]
"""A polygon for each object of each image, x, y, x, y, …"""


def predictions(images: int, classes: int = 3, strides: list[int] = STRIDES) -> Predictions:
    """Noise as the head's outputs; distances are positive."""

    def maps(kind: str, channels: int) -> list[Tensor]:
        return [
            procedural_noise(f"{kind} {s}", (images, channels, HEIGHT // s, WIDTH // s))
            for s in strides
        ]

    distances = [x.abs() + 0.1 for x in maps("distances", 4)]
    parameters = [0.3 * x for x in maps("parameters", 169)]
    return Predictions(maps("logits", classes), distances, maps("centers", 1), parameters)


def mask_features(images: int) -> Tensor:
    """At stride 8."""
    return procedural_noise("mask features", (images, 8, HEIGHT // 8, WIDTH // 8))


def instances(polygons: list[list[float]], bits: bool = False, classes: int = 3) -> Any:
    """Ground truth of one image, as ``DatasetMapper`` makes it."""
    corners = [torch.tensor(x).view(-1, 2) for x in polygons]
    boxes = [torch.cat((x.amin(dim=0), x.amax(dim=0))) for x in corners]
    truth = Instances((HEIGHT, WIDTH))
    truth.gt_boxes = Boxes(torch.stack(boxes) if boxes else torch.zeros(0, 4))
    truth.gt_classes = torch.arange(len(boxes)) % classes
    if boxes:
        masks = PolygonMasks([[x.double().flatten().numpy()] for x in corners])
        if bits:
            masks = BitMasks.from_polygon_masks(masks, HEIGHT, WIDTH)
        truth.gt_masks = masks
    return truth


def reference_truth(truth: Any) -> Truth:
    """The same for the slow reference, masks at full size."""
    masks = torch.zeros(0, HEIGHT, WIDTH, dtype=torch.bool)
    if len(truth):
        masks = truth.gt_masks
        if isinstance(masks, PolygonMasks):
            masks = BitMasks.from_polygon_masks(masks, HEIGHT, WIDTH)
        masks = masks.tensor
    return Truth(truth.gt_boxes.tensor, truth.gt_classes, masks)
