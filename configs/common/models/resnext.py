"""ResNeXt-101 (arXiv 1611.05431) as a model's backbone."""

from typing import Any

from detectron2.config import LazyCall as L
from projects_ext.gcnet import make_stages

WEIGHTS = "https://download.openmmlab.com/pretrain/third_party/{}.pth"
RESNEXT101_32X4D = WEIGHTS.format("resnext101_32x4d-a5af3160")
RESNEXT101_64X4D = WEIGHTS.format("resnext101_64x4d-ee2c6f71")


def use_resnext101(model: Any, groups: int = 32, **options: Any) -> None:
    """Make the ResNet of a model with FPN a ResNeXt-101 of width 4.

    Args:
        model: a LazyConfig; changed.
        groups: of the 3x3 convolutions.
        options: of ``projects_ext.gcnet.make_stages``, in place of the present ones.
    """
    network = model.backbone.bottom_up
    kept = {key: value for key, value in network.stages.items() if key != "_target_"}
    width = {"depth": 101, "num_groups": groups, "width_per_group": 4}
    without_context = {"context_per_stage": (False,) * 4}
    network.stages = L(make_stages)(**{**kept, **without_context, **width, **options})
