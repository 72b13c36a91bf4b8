"""A small segmentation model, and images for it."""

from typing import Any

import numpy as np
import torch
from torch import nn

from detectron2.config import LazyConfig, instantiate
from tests.procedural import procedural_image, procedural_state
from tests.two_stage_parity import ROOT

CLASSES = 5
IGNORED = 255


def small_config(**head: Any) -> Any:
    """The small GCNet's, with so many classes and no dropout."""
    model = LazyConfig.load(str(ROOT / "configs/common/models/gcnet_semantic_small.py")).model
    model.sem_seg_head.update(num_classes=CLASSES, dropout=0.0, **head)
    return model


def with_procedural_weights(module: nn.Module) -> nn.Module:
    """Weights that are functions of their names, so that a context block is no identity."""
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    state = procedural_state(shapes, [("conv3", 0.3)])
    module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return module


def small_model(**head: Any) -> Any:
    """For testing; the same weights at every call."""
    return with_procedural_weights(instantiate(small_config(**head))).eval()


def record(name: str = "a", height: int = 64, width: int = 96) -> dict[str, Any]:
    """A training input: rectangles of classes, a part of them ignored."""
    image = procedural_image(name, height, width).transpose(2, 0, 1).copy()
    labels = np.random.RandomState(len(name)).randint(0, CLASSES, (-(-height // 8), -(-width // 8)))
    labels = labels.repeat(8, 0).repeat(8, 1)[:height, :width].copy()
    labels[: height // 4, : width // 4] = IGNORED
    return {
        "image": torch.from_numpy(image),
        "sem_seg": torch.from_numpy(labels),
        "file_name": f"{name}.jpg",
    }
