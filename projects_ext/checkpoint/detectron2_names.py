"""Weights that have the model's own names already: Detectron2's, and this project's."""

from .conventions import PYTORCH, InputConvention
from .key_map import COUNTER, Format, Target, Weights

_OWN_PARTS = (
    "backbone.bottom_up.", "proposal_generator.", "roi_heads.", "sem_seg_head.", "stem.", "res2.",
)  # fmt: skip


def _is_detectron2(weights: Weights, target: Target) -> bool:
    names = [name for name in weights.entries if not name.endswith(COUNTER)]
    known = sum(name in target.state for name in names)
    return 2 * known > len(names) or any(name.startswith(_OWN_PARTS) for name in names)


def _convention(weights: Weights) -> InputConvention | None:
    """Detectron2's converted torchvision models say so; whole models say nothing."""
    return PYTORCH if weights.others.get("__author__") == "torchvision" else None


DETECTRON2 = Format("Detectron2", _is_detectron2, (), _convention)
