"""CARAFE's pyramid and mask head, literally: one output position after the other."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample(module: Any, x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W) with the weights of an upsampler of 5 x 5 and one group."""
    compressed = F.conv2d(x, module.compressor.weight, module.compressor.bias)
    logits = F.conv2d(compressed, module.encoder.weight, module.encoder.bias, padding=1)
    around = F.pad(x, (2, 2, 2, 2))
    rows = []
    for row in range(2 * x.shape[2]):
        columns = []
        for column in range(2 * x.shape[3]):
            y, x_ = row // 2, column // 2
            # Pixel shuffle: channel 4 t + 2 (row mod 2) + (column mod 2) is tap t's.
            own = logits[:, 2 * (row % 2) + column % 2 :: 4, y, x_].softmax(dim=1)
            near = around[:, :, y : y + 5, x_ : x_ + 5].flatten(2)
            columns.append((near * own[:, None]).sum(dim=2))
        rows.append(torch.stack(columns, dim=2))
    return torch.stack(rows, dim=2)


def pyramid(model: Any, images: Tensor) -> dict[str, Tensor]:
    """The five levels of a CARAFE FPN on res2 to res5."""
    features = model.bottom_up(images)
    merged = {
        level: _conv(model, "lateral", level, features[f"res{level}"]) for level in range(2, 6)
    }
    merged[6] = _conv(model, "lateral", 6, features["res5"], stride=2, padding=1)
    for level in (5, 4, 3, 2):
        height, width = merged[level].shape[2:]
        coarser = upsample(model.upsamplers[level - 2], merged[level + 1])
        merged[level] = merged[level] + coarser[:, :, :height, :width]
    return {
        f"p{level}": _conv(model, "output", level, merged[level], padding=1) for level in merged
    }


def _conv(model: Any, kind: str, level: int, x: Tensor, **options: int) -> Tensor:
    layer = getattr(model, f"fpn_{kind}{level}")
    return F.conv2d(x, layer.weight, layer.bias, **options)


def mask_logits(head: Any, x: Tensor) -> Tensor:
    """(R, C, H, W) -> (R, K, 2H, 2W) of a head with three convolutions."""
    for number in (1, 2, 3):
        layer = getattr(head, f"mask_fcn{number}")
        x = F.conv2d(x, layer.weight, layer.bias, padding=1).relu()
    return F.conv2d(upsample(head.upsampler, x), head.predictor.weight, head.predictor.bias)
