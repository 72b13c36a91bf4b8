"""RoIAlign (arXiv 1703.06870, section 3) on the CPU, channels last.

torchvision's operator reads one channel after the other, and on the CPU its backward pass writes
them one by one. Here a bin is the weighted sum of some pixels, each a row of C contiguous values,
which :func:`torch.nn.functional.embedding_bag` does many times faster, forward and backward.

Shapes: N images, M regions, C channels, H x W pixels of a feature map, h x w bins of a region, s
samples of a bin in each direction.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def pixel_rows(features: Tensor) -> Tensor:
    """The pixels of feature maps (N, C, H, W), as (N, H, W, C) in float32 at least."""
    dtype = torch.promote_types(features.dtype, torch.float32)
    return features.to(dtype, memory_format=torch.channels_last).permute(0, 2, 3, 1).contiguous()


def rows_pay(features: Tensor, samples: int) -> bool:
    """Whether pooling so many samples from rows gains more time than making the rows takes.

    Measured on one core: a pixel's row costs about as much as a third of a sample gains.
    """
    pixels = features.shape[0] * features.shape[2] * features.shape[3]
    return samples >= max(pixels // 3, 12_000)


def roi_align_rows(
    rows: Tensor,
    regions: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool = True,
) -> Tensor:
    """Pool regions as :func:`torchvision.ops.roi_align` does.

    Args:
        rows: (N, H, W, C), contiguous, of :func:`pixel_rows`.
        regions: (M, 5), image, x0, y0, x1, y1 in pixels of the network's input.
        output_size: h and w.
        spatial_scale: of the feature map, 1 / stride.
        sampling_ratio: s, positive.
        aligned: whether coordinates are those of pixel centres.

    Returns:
        (M, C, h, w) in the type of ``rows``, its memory in the order (M, h, w, C).
    """
    _, height, width, channels = rows.shape
    corners = regions[:, 1:].to(rows.dtype) * spatial_scale - (0.5 if aligned else 0.0)
    x0, y0, x1, y1 = corners.unbind(dim=1)
    x, x_weight = _samples(x0, x1, output_size[1], sampling_ratio, width, aligned)
    y, y_weight = _samples(y0, y1, output_size[0], sampling_ratio, height, aligned)
    image = regions[:, 0].to(torch.int64)[:, None, None, None, None]
    pixels = (image * height + y[:, :, None, :, None]) * width + x[:, None, :, None, :]
    weights = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
    pooled = F.embedding_bag(
        pixels.reshape(-1, 4 * sampling_ratio**2),
        rows.flatten(0, 2),
        mode="sum",
        per_sample_weights=weights.reshape(-1, 4 * sampling_ratio**2),
    )
    return pooled.view(len(regions), *output_size, channels).permute(0, 3, 1, 2)


def _samples(
    start: Tensor, end: Tensor, bins: int, ratio: int, length: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Pixels that the bins read along one axis, and their weights: (M, bins, 2 s) each.

    Linear interpolation between two pixels; up to one pixel outside the map its edge is read,
    farther out there is nothing.
    """
    extent = end - start
    if not aligned:
        extent = extent.clamp(min=1.0)
    step = extent[:, None, None] / bins
    options: dict[str, Any] = {"device": start.device, "dtype": start.dtype}
    cell = torch.arange(bins, **options)[:, None]
    within = (torch.arange(ratio, **options) + 0.5) / ratio
    position = start[:, None, None] + cell * step + within * step
    inside = (position >= -1) & (position <= length)
    position = position.clamp(0, length - 1)
    low = position.floor()
    high_weight = position - low
    high = (low + 1).clamp(max=length - 1)
    pixels = torch.stack([low, high], dim=-1).to(torch.int64)
    weights = torch.stack([1 - high_weight, high_weight], dim=-1) * inside[..., None] / ratio
    return pixels.flatten(2), weights.flatten(2)
