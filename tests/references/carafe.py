"""CARAFE's reassembly, literally: unfold, nearest upsampling, weighted sum."""

import torch.nn.functional as F
from torch import Tensor


def carafe(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """(N, C, H, W), (N, groups k², H s, W s) -> (N, C, H s, W s), by way of k² copies of x."""
    n, channels, height, width = x.shape
    taps = kernel_size**2
    neighbourhoods = F.unfold(x, kernel_size, padding=kernel_size // 2)
    neighbourhoods = neighbourhoods.view(n, channels * taps, height, width)
    neighbourhoods = F.interpolate(neighbourhoods, scale_factor=scale, mode="nearest")
    size = neighbourhoods.shape[2:]
    neighbourhoods = neighbourhoods.view(n, groups, channels // groups, taps, *size)
    weighted = neighbourhoods * kernels.view(n, groups, 1, taps, *size)
    return weighted.sum(dim=3).view(n, channels, *size)
