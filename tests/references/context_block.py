"""The global context block, one map and one channel at a time."""

import torch
from torch import Tensor

from projects_ext.layers import ContextBlock


def _bottleneck(layers, context: Tensor) -> Tensor:
    first, norm, _, last = layers
    hidden = first.weight[:, :, 0, 0] @ context + first.bias
    centred = hidden - hidden.mean()
    hidden = centred / (centred.square().mean() + norm.eps).sqrt()
    hidden = (hidden * norm.weight[:, 0, 0] + norm.bias[:, 0, 0]).clamp(min=0)
    return last.weight[:, :, 0, 0] @ hidden + last.bias


def context_block(module: ContextBlock, x: Tensor) -> Tensor:
    """What ``module`` answers for ``x`` (N, C, h, w), by its definition."""
    outputs = []
    for one in x:
        positions = one.flatten(1).T
        weights = torch.full((len(positions),), 1 / len(positions), dtype=x.dtype)
        if module.mask is not None:
            scores = [module.mask.weight[0, :, 0, 0] @ p + module.mask.bias[0] for p in positions]
            weights = torch.stack(scores).exp()
            weights = weights / weights.sum()
        context = sum(
            weight * position for weight, position in zip(weights, positions, strict=True)
        )
        output = one
        if module.channel_mul is not None:
            output = output * _bottleneck(module.channel_mul, context).sigmoid()[:, None, None]
        if module.channel_add is not None:
            output = output + _bottleneck(module.channel_add, context)[:, None, None]
        outputs.append(output)
    return torch.stack(outputs)
