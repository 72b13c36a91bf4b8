"""What cannot be trained on."""

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def refuse_single_values(module: nn.Module, images: int, size: Sequence[int]) -> None:
    """Refuse a map of one value a channel where batch normalisation would learn from it.

    Its variance is zero, so that the normalised value is zero whatever the image.

    Args:
        module: what the map goes through.
        images: N.
        size: (h, w) of the map.

    Raises:
        ValueError: N h w is 1 and ``module`` has batch normalisation in training mode.
    """
    # First of all: sizes are unknown while a program is recorded, where nothing learns.
    learns = any(isinstance(part, _BatchNorm) and part.training for part in module.modules())
    if learns and images * size[0] * size[1] == 1:
        raise ValueError(
            "batch normalisation cannot learn from one image whose smallest feature map is 1x1: "
            "train on larger crops, or on at least 2 images a process"
        )
