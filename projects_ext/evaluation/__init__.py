"""Evaluators that Detectron2 lacks."""

from .checked import (
    CheckedPredictions,
    box_heads_watched,
    channels_watched,
    require_channels,
    require_finite,
    watch_channels,
)
from .cityscapes import CityscapesSemanticEvaluator
from .limits import (
    beyond_standard,
    detection_limit,
    follow_model,
    lazy_key,
    proposal_limit,
    warn_of_crowded_images,
)
from .pictures import PredictionPictures
from .semantic import SemanticEvaluator
from .semantic_pictures import SemanticPictures

__all__ = [
    "CheckedPredictions",
    "CityscapesSemanticEvaluator",
    "PredictionPictures",
    "SemanticEvaluator",
    "SemanticPictures",
    "beyond_standard",
    "box_heads_watched",
    "channels_watched",
    "detection_limit",
    "follow_model",
    "lazy_key",
    "proposal_limit",
    "require_channels",
    "require_finite",
    "warn_of_crowded_images",
    "watch_channels",
]
