"""Detectron2 components with the behaviour of the experiments that weights were published for."""

from .box_regression import TwoSidedBox2BoxTransform
from .initialisation import KaimingLogitsMaskHead, XavierUniformFPN
from .matcher import ReassigningMatcher

__all__ = [
    "KaimingLogitsMaskHead",
    "ReassigningMatcher",
    "TwoSidedBox2BoxTransform",
    "XavierUniformFPN",
]
