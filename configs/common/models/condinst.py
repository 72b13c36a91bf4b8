"""Parts of CondInst models (arXiv 2003.05664)."""

from typing import Any

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from projects_ext.condinst import SemanticBranch


def pyramid_levels(count: int, first: int = 3) -> list[Any]:
    """Levels of the pyramid as a list within a part of the model takes them, P3 and on."""
    channels = "${....backbone.out_channels}"
    return [
        L(ShapeSpec)(channels=channels, stride=2**level) for level in range(first, first + count)
    ]


def use_semantic_branch(model: Any) -> None:
    """Learn the classes of cells beside the masks, on the finest map that these use.

    Args:
        model: a LazyConfig; changed.
    """
    model.semantic_branch = L(SemanticBranch)(
        input_shape=L(ShapeSpec)(
            channels="${...backbone.out_channels}", stride=model.mask_branch.input_shape[0].stride
        ),
        num_classes="${..num_classes}",
        channels=model.mask_branch.channels,
        norm=model.mask_branch.norm,
    )
