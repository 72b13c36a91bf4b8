"""Small region-based detectors with random weights that find something, as predictors."""

from pathlib import Path
from typing import Any

import torch

from detectron2.config import LazyConfig, instantiate
from projects_ext import Predictor
from tests.small_systems import CLASSES, CONFIGS, SMALL

GAINS = (
    ("bbox_pred.weight", 100),
    ("cls_score.weight", 10),
    ("anchor_deltas.weight", 3),
    ("mask_head.predictor.weight", 100),
    ("deconv2.weight", 300),
)
"""What makes boxes, scores and masks differ from each other."""


def predictor(name: str, folder: Path, threshold: float = 0.3, limit: int = 30) -> Predictor:
    """The predictor of a system of ``tests.small_systems``."""
    config = LazyConfig.load(str(CONFIGS / SMALL[name]))
    config.model.roi_heads.num_classes = CLASSES
    config.model.roi_heads.box_predictor.test_score_thresh = threshold
    config.model.roi_heads.box_predictor.test_topk_per_image = limit
    torch.manual_seed(0)
    model: Any = instantiate(config.model)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            for end, gain in GAINS:
                if key.endswith(end):
                    weight.mul_(gain)
    weights = folder / f"{name.replace(' ', '_')}.pth"
    torch.save({"model": model.state_dict()}, weights)
    return Predictor(config, weights, "cpu")
