"""GRoIE's region extractor, literally: every level in full, one step after the other."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from detectron2.structures import Boxes
from projects_ext.groie import GRoIEPooler
from projects_ext.layers import GeneralizedAttention

from .generalized_attention import encode


class LiteralGRoIE(nn.Module):
    """A pooler of its own form that shares the parameters of a :class:`GRoIEPooler`.

    Convolution of all regions of a level at once, sum, and attention of type 0100 with all its
    logits. Without a region it returns before the attention.
    """

    def __init__(self, pooler: GRoIEPooler) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, maps: list[Tensor], box_lists: list[Boxes]) -> Tensor:
        pooler = self.pooler
        regions = torch.cat(
            [
                torch.cat([torch.full((len(boxes), 1), float(index)), boxes.tensor], dim=1)
                for index, boxes in enumerate(box_lists)
            ]
        )
        size, ratio = pooler.output_size, pooler.sampling_ratio
        total = maps[0].new_zeros((len(regions), maps[0].shape[1], *size))
        for features, scale in zip(maps, pooler.scales, strict=True):
            pooled = roi_align(features, regions.to(features), size, scale, ratio, aligned=True)
            convolved = F.conv2d(
                pooled, pooler.pre_module.weight, pooler.pre_module.bias, padding=2
            )
            total = total + convolved.relu()
        return literal_attention(pooler.post_module, total) if len(regions) else total


def literal_attention(module: GeneralizedAttention, x: Tensor) -> Tensor:
    """Type 0100 for square maps: one logit for every pair of positions."""
    count, channels, side, _ = x.shape
    heads, stride = module.num_heads, module.kv_stride
    kept = x[:, :, ::stride, ::stride]
    keys = kept.shape[-1]
    query = module.query(x).reshape(count, heads, -1, side, side)
    value = module.value(kept).reshape(count, heads, -1, keys * keys)
    table = torch.stack(
        [torch.stack([encode(q - stride * k, channels) for k in range(keys)]) for q in range(side)]
    ).to(x)
    place_x = module.position_x(table).reshape(side, keys, heads, -1) / math.sqrt(2)
    place_y = module.position_y(table).reshape(side, keys, heads, -1) / math.sqrt(2)
    by_column = torch.einsum("nhdij,jkhd->nhijk", query, place_x)
    if module.transposed_rows:
        query = query.transpose(-1, -2)
    by_row = torch.einsum("nhdij,ikhd->nhijk", query, place_y)
    logits = by_row[..., :, None] + by_column[..., None, :]
    weights = logits.reshape(count, heads, side * side, keys * keys).softmax(dim=-1)
    mixed = torch.einsum("nhqk,nhdk->nhdq", weights, value).reshape(count, -1, side, side)
    return x + module.gamma * module.projection(mixed)
