"""GRoIE (arXiv 2004.13665) in the place of a model's RoI poolers."""

from typing import Any

from detectron2.config import LazyCall as L
from projects_ext.groie import GRoIEPooler


def use_groie(model: Any, *branches: str) -> None:
    """Exchange the poolers of RoI heads, which keep their resolution and scales.

    Args:
        model: a LazyConfig with ``roi_heads``; changed.
        branches: "box", "mask" or "grid".
    """
    for branch in branches:
        pooler = model.roi_heads[f"{branch}_pooler"]
        model.roi_heads[f"{branch}_pooler"] = L(GRoIEPooler)(
            output_size=pooler.output_size,
            scales=pooler.scales,
            sampling_ratio=2,
            channels=model.backbone.out_channels,
        )
