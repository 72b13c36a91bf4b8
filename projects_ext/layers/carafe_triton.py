"""CARAFE's reassembly and its gradients as Triton kernels.

Three kernels, none with atomic additions, so that results do not vary from call to call. Each sums
in float32 (float64 for float64) and takes any strides of features and gradients.

Shapes: C channels in ``groups`` groups, H x W source positions, k x k neighbourhoods, scale s,
p = (k - 1) / 2. A program works for one row of one map, a block of columns and, but for the
kernels' gradient, a block of channels of one group.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .carafe_rows import empty_gradients, empty_output, precise

TILE = 2048
"""Sums of one program: 16 for each thread of four warps."""


@triton.jit
def reassemble_kernel(
    x: tl.tensor,
    kernels: tl.tensor,
    output: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    x_n: tl.tensor,
    x_c: tl.tensor,
    x_h: tl.tensor,
    x_w: tl.tensor,
    out_n: tl.tensor,
    out_c: tl.tensor,
    out_h: tl.tensor,
    out_w: tl.tensor,
    K: tl.constexpr,
    S: tl.constexpr,
    SUM: tl.constexpr,
    SUB_ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """The s output rows of a source row, ``SUB_ROWS`` being s or the next power of two."""
    blocks = tl.cdiv(width * S, COLUMNS)
    # A block of one, for Triton's interpreter takes a scalar's comparisons for integers.
    row = tl.full((1, 1, 1), tl.program_id(0) // blocks, tl.int32)
    column = (tl.program_id(0) % blocks) * COLUMNS + tl.arange(0, COLUMNS)[None, None, :]
    parts = tl.cdiv(channels, CHANNELS)
    group = tl.program_id(1) // parts
    channel = (tl.program_id(1) % parts) * CHANNELS + tl.arange(0, CHANNELS)[None, :, None]
    sub_row = tl.arange(0, SUB_ROWS)[:, None, None]
    n = tl.program_id(2).to(tl.int64)
    groups = tl.num_programs(1) // parts
    plane = height * width * S * S

    exists = (column < width * S) & (channel < channels)
    x += n * x_n + (group * channels + channel) * x_c
    kernels += (n * groups + group) * K * K * plane + (row * S + sub_row) * width * S + column
    written = (sub_row < S) & (column < width * S)
    total = tl.zeros((SUB_ROWS, CHANNELS, COLUMNS), dtype=SUM)
    for i in range(K):
        from_row = row + i - K // 2
        inside_row = exists & (from_row >= 0) & (from_row < height)
        for j in tl.static_range(K):
            from_column = column // S + j - K // 2
            inside = inside_row & (from_column >= 0) & (from_column < width)
            value = tl.load(x + from_row * x_h + from_column * x_w, mask=inside, other=0)
            weight = tl.load(kernels + (i * K + j) * plane, mask=written, other=0)
            total += value.to(SUM) * weight.to(SUM)
    output += n * out_n + (group * channels + channel) * out_c
    output += (row * S + sub_row) * out_h + column * out_w
    tl.store(output, total.to(output.dtype.element_ty), mask=exists & written)


@triton.jit
def features_gradient_kernel(
    gradient: tl.tensor,
    kernels: tl.tensor,
    result: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    grad_n: tl.tensor,
    grad_c: tl.tensor,
    grad_h: tl.tensor,
    grad_w: tl.tensor,
    res_n: tl.tensor,
    res_c: tl.tensor,
    res_h: tl.tensor,
    res_w: tl.tensor,
    K: tl.constexpr,
    S: tl.constexpr,
    SUM: tl.constexpr,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """A block of a source row: the sum over all output positions that read it."""
    blocks = tl.cdiv(width, COLUMNS)
    row = tl.full((1, 1), tl.program_id(0) // blocks, tl.int32)
    column = (tl.program_id(0) % blocks) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    parts = tl.cdiv(channels, CHANNELS)
    group = tl.program_id(1) // parts
    channel = (tl.program_id(1) % parts) * CHANNELS + tl.arange(0, CHANNELS)[:, None]
    n = tl.program_id(2).to(tl.int64)
    groups = tl.num_programs(1) // parts
    plane = height * width * S * S

    exists = (column < width) & (channel < channels)
    gradient += n * grad_n + (group * channels + channel) * grad_c
    kernels += (n * groups + group) * K * K * plane
    total = tl.zeros((CHANNELS, COLUMNS), dtype=SUM)
    for i in range(K):
        to_row = row - i + K // 2
        inside_row = (to_row >= 0) & (to_row < height)
        for a in range(S):
            out_row = to_row * S + a
            for j in tl.static_range(K):
                to_column = column - j + K // 2
                inside = inside_row & (to_column >= 0) & (to_column < width)
                for b in tl.static_range(S):
                    out_column = to_column * S + b
                    value = tl.load(
                        gradient + out_row * grad_h + out_column * grad_w,
                        mask=inside & exists,
                        other=0,
                    )
                    weight = tl.load(
                        kernels + (i * K + j) * plane + out_row * width * S + out_column,
                        mask=inside,
                        other=0,
                    )
                    total += value.to(SUM) * weight.to(SUM)
    result += n * res_n + (group * channels + channel) * res_c + row * res_h + column * res_w
    tl.store(result, total.to(result.dtype.element_ty), mask=exists)


@triton.jit
def kernels_gradient_kernel(
    gradient: tl.tensor,
    x: tl.tensor,
    result: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    grad_n: tl.tensor,
    grad_c: tl.tensor,
    grad_h: tl.tensor,
    grad_w: tl.tensor,
    x_n: tl.tensor,
    x_c: tl.tensor,
    x_h: tl.tensor,
    x_w: tl.tensor,
    K: tl.constexpr,
    S: tl.constexpr,
    SUM: tl.constexpr,
    TAPS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """All taps of a block of an output row, ``TAPS`` being k² or the next power of two."""
    blocks = tl.cdiv(width * S, COLUMNS)
    row = tl.full((1, 1), tl.program_id(0) // blocks, tl.int32)
    column = (tl.program_id(0) % blocks) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    tap = tl.arange(0, TAPS)[:, None]
    group = tl.program_id(1)
    n = tl.program_id(2).to(tl.int64)
    plane = height * width * S * S

    exists = column < width * S
    from_row = row // S + tap // K - K // 2
    from_column = column // S + tap % K - K // 2
    inside = exists & (tap < K * K) & (from_row >= 0) & (from_row < height)
    inside = inside & (from_column >= 0) & (from_column < width)
    gradient += n * grad_n + group * channels * grad_c + row * grad_h + column * grad_w
    x += n * x_n + group * channels * x_c + from_row * x_h + from_column * x_w
    total = tl.zeros((TAPS, COLUMNS), dtype=SUM)
    for channel in range(channels):
        written = tl.load(gradient + channel * grad_c, mask=exists, other=0)
        value = tl.load(x + channel * x_c, mask=inside, other=0)
        total += written.to(SUM) * value.to(SUM)
    result += (n * tl.num_programs(1) + group) * K * K * plane + tap * plane
    result += row * width * S + column
    tl.store(result, total.to(result.dtype.element_ty), mask=exists & (tap < K * K))


def reassemble(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """The operator: (N, C, H, W), (N, groups k², H s, W s) -> (N, C, H s, W s)."""
    output = empty_output(x, scale)
    if not output.numel():
        return output
    n, channels, height, width = x.shape
    sub_rows = triton.next_power_of_2(scale)
    tile = blocks(x, channels // groups, width * scale, TILE // sub_rows)
    size = (
        height * triton.cdiv(width * scale, tile["COLUMNS"]),
        groups * triton.cdiv(channels // groups, tile["CHANNELS"]),
        n,
    )
    with torch.cuda.device_of(x):
        reassemble_kernel[size](
            x, kernels.contiguous(), output, channels // groups, height, width,
            *x.stride(), *output.stride(),
            K=kernel_size, S=scale, SUM=sum_type(x), SUB_ROWS=sub_rows, **tile,
        )  # fmt: skip
    return output


def gradients(
    gradient: Tensor,
    x: Tensor,
    kernels: Tensor,
    kernel_size: int,
    groups: int,
    scale: int,
    of_features: bool,
    of_kernels: bool,
) -> tuple[Tensor, Tensor]:
    """What ``x`` and ``kernels`` get of the output's gradient; empty where it is not asked for."""
    found = empty_gradients(gradient, x, kernels, of_features, of_kernels)
    for_features, for_kernels = found
    n, channels, height, width = x.shape
    if not x.numel():
        return for_features, for_kernels.zero_()
    sizes = (channels // groups, height, width)
    shared = {"K": kernel_size, "S": scale, "SUM": sum_type(x)}
    with torch.cuda.device_of(x):
        if of_features:
            tile = blocks(gradient, channels // groups, width, TILE)
            size = (
                height * triton.cdiv(width, tile["COLUMNS"]),
                groups * triton.cdiv(channels // groups, tile["CHANNELS"]),
                n,
            )
            features_gradient_kernel[size](
                gradient, kernels.contiguous(), for_features, *sizes,
                *gradient.stride(), *for_features.stride(), **shared, **tile,
            )  # fmt: skip
        if of_kernels:
            taps = triton.next_power_of_2(kernel_size**2)
            columns = min(max(TILE // taps, 16), triton.next_power_of_2(width * scale))
            size = (height * scale * triton.cdiv(width * scale, columns), groups, n)
            kernels_gradient_kernel[size](
                gradient, x, for_kernels, *sizes,
                *gradient.stride(), *x.stride(), **shared, TAPS=taps, COLUMNS=columns,
            )  # fmt: skip
    return found


def blocks(tensor: Tensor, channels: int, width: int, size: int) -> dict[str, int]:
    """How many channels and columns a program takes, the more of those that lie side by side."""
    channels, width = triton.next_power_of_2(channels), triton.next_power_of_2(width)
    if tensor.stride(1) == 1 and tensor.stride(3) != 1:
        taken = min(channels, 128, size)
        return {"CHANNELS": taken, "COLUMNS": min(width, size // taken)}
    taken = min(width, 64, size)
    return {"CHANNELS": min(channels, size // taken), "COLUMNS": taken}


def sum_type(tensor: Tensor) -> Any:
    """Triton's name of the type that sums are kept in."""
    return tl.float64 if precise(tensor) == torch.float64 else tl.float32
