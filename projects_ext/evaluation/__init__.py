"""Evaluators that Detectron2 lacks."""

from .pictures import PredictionPictures

__all__ = ["PredictionPictures"]
