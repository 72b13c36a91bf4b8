"""Weights that have the model's own names already: Detectron2's, and this project's."""

from collections.abc import Sequence

from .conventions import PYTORCH, InputConvention, caffe2_convention, stored_convention
from .key_map import COUNTER, Format, Target, Weights

CLASSES_KEY = "classes"
"""The key in checkpoints of this project under which the names of the classes are."""

_OWN_PARTS = (
    "backbone.bottom_up.", "proposal_generator.", "roi_heads.", "sem_seg_head.", "stem.", "res2.",
)  # fmt: skip
_FROM_CAFFE2 = ("Detectron2 Model Zoo", "Caffe2")
"""Authors of files whose ResNets began with Caffe2's weights, if their norms say so."""


def _is_detectron2(weights: Weights, target: Target) -> bool:
    names = [name for name in weights.entries if not name.endswith(COUNTER)]
    known = sum(name in target.state for name in names)
    return 2 * known > len(names) or any(name.startswith(_OWN_PARTS) for name in names)


def _convention(weights: Weights) -> InputConvention | None:
    """What this project's files say, and what is known of Detectron2's; others say nothing."""
    stored = stored_convention(weights.others)
    if stored is not None:
        return stored
    author = weights.others.get("__author__")
    if author == "torchvision":
        return PYTORCH
    return caffe2_convention(weights.entries) if author in _FROM_CAFFE2 else None


def _classes(weights: Weights) -> Sequence[str] | None:
    names = weights.others.get(CLASSES_KEY)
    return [str(name) for name in names] if isinstance(names, list | tuple) else None


DETECTRON2 = Format("Detectron2", _is_detectron2, (), _convention, classes=_classes)
