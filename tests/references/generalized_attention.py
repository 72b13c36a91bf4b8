"""Generalised attention, one query and one key at a time."""

import math

import torch
from torch import Tensor

from projects_ext.layers.generalized_attention import GeneralizedAttention


def encode(distance: int, dim: int) -> Tensor:
    """Sines, then cosines of the distance at dim / 4 wave lengths."""
    angles = [distance / 1000 ** (4 * index / dim) for index in range(dim // 4)]
    values = [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
    return torch.tensor(values, dtype=torch.float64)


def _logit(module, head, query, row_query, key, di, dj) -> Tensor:
    """Of one head, from the contents (D) and the distances in rows and columns."""
    pair, by_query, by_key, by_place = (digit == "1" for digit in module.attention_type)
    width = module.channels // module.num_heads
    part = slice(head * width, (head + 1) * width)
    total = torch.zeros((), dtype=torch.float64)
    if pair:
        total = total + query[part] @ key[part]
    if by_key:
        total = total + module.key_bias[part] @ key[part]
    if by_query or by_place:
        x_feature = module.position_x.weight[part] @ encode(dj, module.channels) / math.sqrt(2)
        y_feature = module.position_y.weight[part] @ encode(di, module.channels) / math.sqrt(2)
    if by_query:
        total = total + query[part] @ x_feature + row_query[part] @ y_feature
    if by_place:
        total = total + module.position_bias[part] @ (x_feature + y_feature)
    return total


def generalized_attention(module: GeneralizedAttention, x: Tensor) -> Tensor:
    """What ``module`` (in float64) answers for ``x`` (N, C, h, w), by its definition."""
    return torch.stack([_one_map(module, one) for one in x])


def _one_map(module: GeneralizedAttention, x: Tensor) -> Tensor:
    _, height, width = x.shape
    stride = module.kv_stride
    places = [(i, j) for i in range(height) for j in range(width)]
    key_places = [(k, m) for k in range(0, height, stride) for m in range(0, width, stride)]

    def apply(layer, i, j):
        return None if layer is None else layer.weight[:, :, 0, 0] @ x[:, i, j]

    output = x.clone()
    depth = module.channels // module.num_heads
    for i, j in places:
        query = apply(module.query, i, j)
        row_query = apply(module.query, j, i) if module.transposed_rows else query
        mixed = []
        for head in range(module.num_heads):
            logits = torch.stack(
                [
                    _logit(module, head, query, row_query, apply(module.key, k, m), i - k, j - m)
                    for k, m in key_places
                ]
            )
            values = torch.stack([apply(module.value, k, m) for k, m in key_places])
            mixed.append(logits.softmax(0) @ values[:, head * depth : (head + 1) * depth])
        projected = module.projection.weight[:, :, 0, 0] @ torch.cat(mixed) + module.projection.bias
        output[:, i, j] = x[:, i, j] + module.gamma * projected
    return output
