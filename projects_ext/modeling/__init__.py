"""Detectron2 components that the systems share.

Some have the behaviour of the experiments that weights were published for; some let a YAML config
name what a LazyConfig injects.
"""

from .box_regression import TwoSidedBox2BoxTransform
from .cascade import StagewiseCascadeROIHeads
from .initialisation import KaimingLogitsMaskHead, XavierUniformFPN
from .matcher import ReassigningMatcher
from .poolers import ROI_POOLER_REGISTRY, build_roi_pooler, named_poolers
from .roi_heads import (
    RegisteredPoolersCascadeROIHeads,
    RegisteredPoolersROIHeads,
    heads_with_named_poolers,
)

__all__ = [
    "ROI_POOLER_REGISTRY",
    "KaimingLogitsMaskHead",
    "ReassigningMatcher",
    "RegisteredPoolersCascadeROIHeads",
    "RegisteredPoolersROIHeads",
    "StagewiseCascadeROIHeads",
    "TwoSidedBox2BoxTransform",
    "XavierUniformFPN",
    "build_roi_pooler",
    "heads_with_named_poolers",
    "named_poolers",
]
