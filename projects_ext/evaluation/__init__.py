"""Evaluators that Detectron2 lacks."""

from .cityscapes import CityscapesSemanticEvaluator
from .pictures import PredictionPictures
from .semantic import SemanticEvaluator
from .semantic_pictures import SemanticPictures

__all__ = [
    "CityscapesSemanticEvaluator",
    "PredictionPictures",
    "SemanticEvaluator",
    "SemanticPictures",
]
