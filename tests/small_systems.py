"""Small models of every system, from their own configs, for tests of whole detectors."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from detectron2.config import LazyConfig, instantiate
from detectron2.structures import BitMasks, Boxes, Instances
from tests.procedural import procedural_image

CONFIGS = Path(__file__).parents[1] / "configs"
SMALL = {
    "carafe mask": "carafe/mask_rcnn_carafe_shapes.py",
    "carafe faster": "carafe/faster_rcnn_carafe_shapes.py",
    "groie mask": "groie/mask_rcnn_groie_shapes.py",
    "gcnet mask": "gcnet/mask_rcnn_gcb_shapes.py",
    "grid": "grid_rcnn/grid_rcnn_shapes.py",
    "groie grid": "groie/grid_rcnn_groie_shapes.py",
}
CLASSES = 3


def small_config(name: str) -> Any:
    """The model's config, with a given class count and every score let through."""
    model = LazyConfig.load(str(CONFIGS / SMALL[name])).model
    model.roi_heads.num_classes = CLASSES
    model.roi_heads.box_predictor.test_score_thresh = 0.0
    model.roi_heads.box_predictor.test_topk_per_image = 20
    return model


def small_model(name: str) -> nn.Module:
    """The same weights at every call."""
    torch.manual_seed(0)
    return instantiate(small_config(name))


def image(name: str, height: int = 96, width: int = 128) -> torch.Tensor:
    """(3, H, W) uint8."""
    return torch.from_numpy(procedural_image(name, height, width).transpose(2, 0, 1).copy())


def record(name: str, objects: int = 2, height: int = 96, width: int = 128) -> dict[str, Any]:
    """A training input with so many rectangular objects."""
    random = np.random.RandomState(objects + len(name))
    corner = random.uniform(0, 0.5, (objects, 2)) * [width, height]
    sides = random.uniform(0.2, 0.45, (objects, 2)) * [width, height]
    boxes = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    masks = np.zeros((objects, height, width), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.from_numpy(boxes))
    instances.gt_classes = torch.from_numpy(random.randint(0, CLASSES, objects))
    instances.gt_masks = BitMasks(torch.from_numpy(masks))
    return {
        "image": image(name, height, width),
        "instances": instances,
        "height": height,
        "width": width,
    }
