"""Augmentations (random) and the transforms (deterministic) that they produce.

The basic transforms come from fvcore; what is added here keeps their interface.
"""

from fvcore.transforms.transform import (
    BlendTransform,
    GridSampleTransform,
    HFlipTransform,
    NoOpTransform,
    PadTransform,
    ScaleTransform,
    Transform,
    TransformList,
    VFlipTransform,
)

from . import augmentation, augmentation_impl, transform
from .augmentation import *  # noqa: F403  # its __all__ is part of this one's
from .augmentation_impl import *  # noqa: F403
from .transform import *  # noqa: F403

__all__ = [
    "BlendTransform",
    "GridSampleTransform",
    "HFlipTransform",
    "NoOpTransform",
    "PadTransform",
    "ScaleTransform",
    "Transform",
    "TransformList",
    "VFlipTransform",
]
__all__ += augmentation.__all__
__all__ += augmentation_impl.__all__
__all__ += transform.__all__
