"""Global context blocks (GCNet, arXiv 1904.11492) in a model's ResNet."""

from typing import Any

from detectron2.config import LazyCall as L
from projects_ext.gcnet import make_stages


def use_context_blocks(model: Any, ratio: float, **options: Any) -> None:
    """Put context blocks into res3 to res5 of a model on a ResNet with FPN.

    Args:
        model: a LazyConfig; changed.
        ratio: of the blocks, 1/16 or 1/4 in the paper.
        options: of ``projects_ext.gcnet.make_stages``, in place of the present ones.
    """
    network = model.backbone.bottom_up
    stages = {key: value for key, value in network.stages.items() if key != "_target_"}
    network.stages = L(make_stages)(**{**stages, "ratio": ratio, **options})


def train_statistics(model: Any) -> None:
    """BatchNorm of the backbone synchronised over all GPUs; the stem and res2 stay frozen."""
    model.backbone.bottom_up.stem.norm = model.backbone.bottom_up.stages.norm = "SyncBN"
