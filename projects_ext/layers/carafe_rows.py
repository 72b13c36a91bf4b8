"""CARAFE's reassembly by blocks of rows with the channels last, in PyTorch's own operators.

A position's channels are one row of a table. The sum over a neighbourhood is then what
`embedding_bag` computes: a weighted sum of rows found by index, added up in registers, without a
copy of the neighbourhoods. So is the gradient of the features, where a source position sums over
all (k s)² output positions that read it; it needs no atomic additions. The gradient of the kernels
is a matrix product at each source position: s² output gradients by k² neighbours.

Maps that have their channels first are transposed block by block, within the cache. Nothing held
is larger than a padded copy of one map's features or kernels, or a few blocks.

Shapes: C channels in ``groups`` groups, H x W source positions, k x k neighbourhoods, scale s,
p = (k - 1) / 2 rows and columns of zeros around a map.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CPU_BLOCK = 2**20
"""Numbers in a block of output: in float32 4 MiB, which a core's caches hold."""

GPU_BLOCK = 2**23
"""On a GPU a block is rather to fill the device."""


@dataclass(frozen=True)
class Geometry:
    """The sizes of one call, and how many source rows a block has."""

    height: int
    width: int
    channels: int
    kernel_size: int
    groups: int
    scale: int
    rows: int

    @classmethod
    def of(cls, x: Tensor, kernel_size: int, groups: int, scale: int) -> "Geometry":
        """The geometry for features like ``x`` (N, C, H, W)."""
        channels, height, width = x.shape[1:]
        block = CPU_BLOCK if x.device.type == "cpu" else GPU_BLOCK
        rows = min(max(block // max(channels * width * scale**2, 1), 1), max(height, 1))
        return cls(height, width, channels, kernel_size, groups, scale, rows)

    @property
    def margin(self) -> int:
        """p."""
        return self.kernel_size // 2

    @property
    def padded_width(self) -> int:
        """W + 2 p."""
        return self.width + 2 * self.margin

    def blocks(self) -> list[tuple[int, int]]:
        """First row and number of rows of every block."""
        starts = range(0, self.height, self.rows)
        return [(start, min(self.rows, self.height - start)) for start in starts]


def precise(tensor: Tensor) -> torch.dtype:
    """What sums are kept in: float32, or the tensor's own type if that is wider."""
    return torch.promote_types(tensor.dtype, torch.float32)


def empty(like: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """An empty tensor on the device of ``like``, with its channels last if that has them last."""
    last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    form = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=form)


def empty_output(x: Tensor, scale: int) -> Tensor:
    """(N, C, H s, W s), not filled."""
    n, channels, height, width = x.shape
    return empty(x, (n, channels, height * scale, width * scale), x.dtype)


def empty_gradients(
    gradient: Tensor, x: Tensor, kernels: Tensor, of_features: bool, of_kernels: bool
) -> tuple[Tensor, Tensor]:
    """Of the shapes of ``x`` and ``kernels``, not filled; without elements where not asked for."""
    return (
        empty(gradient, x.shape if of_features else (0, 0, 0, 0), x.dtype),
        torch.empty(
            kernels.shape if of_kernels else (0,), dtype=kernels.dtype, device=kernels.device
        ),
    )


def grid(rows: int, columns: int, row_step: int, device: torch.device, step: int = 1) -> Tensor:
    """Flat indices (rows, columns) into a table of rows that are ``row_step`` entries long."""
    down = torch.arange(rows, dtype=torch.int32, device=device) * row_step
    return down[:, None] + torch.arange(columns, dtype=torch.int32, device=device) * step


def write_rows(target: Tensor, rows: Tensor) -> None:
    """Write positions' channels (positions, C) to a block (C, h, w) of a map."""
    channels, height, width = target.shape
    if target.stride(0) == 1:
        target.permute(1, 2, 0).copy_(rows.view(height, width, channels))
    else:
        # A whole transposition is quick; one into rows that lie apart is not.
        target.copy_(rows.t().contiguous().view(channels, height, width))


def padded_table(x: Tensor, geometry: Geometry) -> Tensor:
    """Features of a map (C, H, W) -> ((H + 2 p) (W + 2 p), C), zeros around."""
    p = geometry.margin
    size = (geometry.height + 2 * p, geometry.padded_width, geometry.channels)
    table = torch.zeros(size, dtype=precise(x), device=x.device)
    table[p : p + geometry.height, p : p + geometry.width] = x.permute(1, 2, 0)
    return table.view(-1, geometry.channels)


def reassemble(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """The operator: (N, C, H, W), (N, groups k², H s, W s) -> (N, C, H s, W s)."""
    geometry = Geometry.of(x, kernel_size, groups, scale)
    k, stride = kernel_size, geometry.padded_width
    output = empty_output(x, scale)
    if not output.numel():
        return output
    # An entry of the table is one group of one position.
    first = grid(geometry.rows, geometry.width, stride, x.device)
    first = first.repeat_interleave(scale, 0).repeat_interleave(scale, 1).view(-1, 1, 1)
    bags = (first + grid(k, k, stride, x.device).view(-1)) * groups
    bags = (bags + torch.arange(groups, dtype=torch.int32, device=x.device)[:, None]).view(-1, k**2)
    for features, weights, target in zip(x, kernels, output, strict=True):
        table = padded_table(features, geometry).view(-1, geometry.channels // groups)
        for top, rows in geometry.blocks():
            block = slice(top * scale, (top + rows) * scale)
            weight = weights[:, block].reshape(groups, k**2, -1).permute(2, 0, 1).reshape(-1, k**2)
            found = F.embedding_bag(
                bags[: len(weight)],
                table[top * stride * groups :],
                mode="sum",
                per_sample_weights=weight.to(table.dtype),
            )
            write_rows(target[:, block], found.view(-1, geometry.channels))
    return output


class GradientWindow:
    """The output gradient of one map, as a window of padded source rows that moves down.

    ``rows`` (rows + 2 p, W + 2 p, s, s, C): what source position (y, x) has written.
    """

    def __init__(self, gradient: Tensor, geometry: Geometry) -> None:
        self.gradient, self.geometry = gradient, geometry
        p, s = geometry.margin, geometry.scale
        size = (geometry.rows + 2 * p, geometry.padded_width, s, s, geometry.channels)
        self.rows = torch.zeros(size, dtype=precise(gradient), device=gradient.device)
        self._fill(p, range(0, min(geometry.rows + p, geometry.height)))

    def move(self, top: int) -> None:
        """Let the window's first row be ``p`` rows above source row ``top``, a block further."""
        step, p = self.geometry.rows, self.geometry.margin
        if p:
            self.rows[: 2 * p] = self.rows[step:].clone()
        start = top + p
        end = min(top + step + p, self.geometry.height)
        self._fill(2 * p, range(start, max(start, end)))
        self.rows[2 * p + max(end - start, 0) :] = 0

    def _fill(self, at: int, source: range) -> None:
        geometry, s = self.geometry, self.geometry.scale
        if not source:
            return
        block = self.gradient[:, source.start * s : source.stop * s]
        shape = (len(source), s, geometry.width, s, geometry.channels)
        if block.stride(0) == 1:
            last = block.permute(1, 2, 0)
        else:
            last = block.reshape(geometry.channels, -1).t().contiguous()
        target = self.rows[at : at + len(source), geometry.margin :][:, : geometry.width]
        target.copy_(last.reshape(shape).transpose(1, 2))


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
    geometry = Geometry.of(x, kernel_size, groups, scale)
    for_features, for_kernels = empty_gradients(gradient, x, kernels, of_features, of_kernels)
    if not x.numel():
        return for_features, for_kernels.zero_()
    bags = _reading_bags(geometry, x.device) if of_features else None
    for n in range(len(x)):
        window = GradientWindow(gradient[n], geometry)
        table = padded_table(x[n], geometry) if of_kernels else None
        weights = _reading_weights(kernels[n], geometry) if of_features else None
        for top, rows in geometry.blocks():
            if top:
                window.move(top)
            if bags is not None and weights is not None:
                found = F.embedding_bag(
                    bags[: rows * geometry.width * groups],
                    window.rows.view(-1, geometry.channels // groups),
                    mode="sum",
                    per_sample_weights=weights[top : top + rows].reshape(-1, bags.shape[1]),
                )
                write_rows(for_features[n, :, top : top + rows], found.view(-1, x.shape[1]))
            if table is not None:
                block = slice(top * scale, (top + rows) * scale)
                _kernel_gradient(for_kernels[n, :, block], window.rows, table, top, geometry)
    return for_features, for_kernels


def _reading_bags(geometry: Geometry, device: torch.device) -> Tensor:
    """For each source position and group of a block, the entries of the window that have read it.

    (rows W groups, k² s²): by tap, then by position within the source position's output.
    """
    k, s, groups, stride = (
        geometry.kernel_size,
        geometry.scale,
        geometry.groups,
        geometry.padded_width,
    )
    # Its tap (i, j) was read by the position i - p rows above and j - p columns to the left.
    taps = grid(k, k, stride, device).flip(0, 1).reshape(-1, 1) * s**2
    taps = (taps + torch.arange(s**2, dtype=torch.int32, device=device)).view(-1)
    first = grid(geometry.rows, geometry.width, stride, device).view(-1, 1, 1) * s**2
    group = torch.arange(groups, dtype=torch.int32, device=device)[:, None]
    return ((first + taps) * groups + group).view(-1, k**2 * s**2)


def _reading_weights(kernels: Tensor, geometry: Geometry) -> Tensor:
    """Kernels (groups k², H s, W s) in the order of the bags: a view (H, W, groups, k, k, s²)."""
    k, s, p, groups = geometry.kernel_size, geometry.scale, geometry.margin, geometry.groups
    apart = kernels.to(precise(kernels)).view(groups, k, k, geometry.height, s, geometry.width, s)
    apart = F.pad(apart.permute(0, 1, 2, 4, 6, 3, 5), (p, p, p, p)).contiguous()
    group, i, j, _, b, row, column = apart.stride()
    return apart[..., 2 * p :, 2 * p :].as_strided(
        (geometry.height, geometry.width, groups, k, k, s**2),
        (row, column, group, i - row, j - column, b),
    )


def _kernel_gradient(
    target: Tensor, window: Tensor, table: Tensor, top: int, geometry: Geometry
) -> None:
    """One block (groups k², rows s, W s): products of output gradients and neighbourhoods."""
    k, s, p, stride = (geometry.kernel_size, geometry.scale, geometry.margin, geometry.padded_width)
    channels, groups = geometry.channels // geometry.groups, geometry.groups
    rows = target.shape[1] // s
    # Padded positions from the first to the last of the block, those between two rows included.
    count = rows * stride - 2 * p
    start = p * stride + p
    written = window.view(-1, s**2, geometry.channels)[start : start + count]
    # Column after column, k positions of a column lie together, so neighbourhoods overlap.
    around = table.view(-1, stride, geometry.channels)[top : top + rows + 2 * p]
    around = around.unfold(0, k, 1).permute(0, 1, 3, 2).contiguous()
    for group in range(groups):
        part = slice(group * channels, (group + 1) * channels)
        neighbours = around[..., part].as_strided(
            (count, channels, k**2), (k * geometry.channels, 1, geometry.channels)
        )
        product = torch.empty((rows * stride, s**2, k**2), dtype=table.dtype, device=table.device)
        torch.bmm(written[..., part], neighbours, out=product[:count])
        product = product.view(rows, stride, s, s, k, k)[:, : geometry.width]
        result = target[group * k**2 : (group + 1) * k**2]
        result.view(k, k, rows, s, geometry.width, s).copy_(product.permute(5, 4, 0, 2, 1, 3))
