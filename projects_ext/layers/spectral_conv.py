"""Convolutions of many small maps as products of spectra (the convolution theorem).

A k x k convolution takes h w k² products for each pair of channels. In the frequency domain there
are only (h + k // 2) (w + k // 2) places, about half of them different, each with one complex
product. On maps as small as a region's bins the transforms are matrices, and all of it is matrix
products, which run near the processor's limit in float32 and in bfloat16.

Shapes: N maps of C channels and h x w positions, O channels of the result, k x k kernels, Q
different frequencies. A spectrum has 2 values for each, the real and the imaginary part.
"""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .exporting import recording

PART = 128 * 49
"""Positions of the maps that are transformed at a time, where all kernels' spectra are held."""

FREQUENCIES = 16
"""Frequencies that are treated at a time for gradients, where they are not."""

ALL = slice(None)

KERNELS_WORTH = 48
"""Transforming the kernels takes about as long as the products of so many maps (measured)."""


@functools.lru_cache(maxsize=32)
def transforms(height: int, width: int, kernel_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The transforms as matrices, in float64.

    Periods are so long that what wraps around at a map's border meets zeros.

    Returns:
        maps to spectra (Q, 2, h w); spectra to maps (h w, Q, 2); kernels to spectra (2, Q, k²).
        The last one also takes the kernels' turn: deep learning correlates.
    """
    margin = kernel_size // 2
    periods = (height + margin, width + margin)
    # A real map's spectrum is symmetric: half of the columns tell the others.
    columns = periods[1] // 2 + 1
    down, across = (2 * math.pi / period for period in periods)
    options: dict[str, Any] = {"dtype": torch.float64}

    def angles(rows: Tensor, cols: Tensor) -> Tensor:
        by_row = torch.outer(torch.arange(periods[0], **options) * down, rows)
        by_column = torch.outer(torch.arange(columns, **options) * across, cols)
        return (by_row[:, None, :, None] + by_column[None, :, None, :]).flatten(2).flatten(0, 1)

    here = angles(torch.arange(height, **options), torch.arange(width, **options))
    taps = torch.arange(kernel_size, **options) - margin
    turned = angles(taps, taps)
    # How often each column is there in the whole spectrum.
    times = torch.full((columns,), 2.0, **options)
    times[0] = 1.0
    if periods[1] % 2 == 0:
        times[-1] = 1.0
    share = (times / math.prod(periods)).repeat(periods[0])[:, None]
    forward = torch.stack([here.cos(), -here.sin()], dim=1)
    backward = (forward * share[:, None]).permute(2, 0, 1).contiguous()
    return forward, backward, torch.stack([turned.cos(), turned.sin()])


def like(matrix: Tensor, x: Tensor) -> Tensor:
    """A transform of the type of ``x``, on its device."""
    return matrix.to(dtype=x.dtype, device=x.device)


def kernel_spectra(
    weight: Tensor, size: tuple[int, int], dtype: torch.dtype, rows: slice = ALL
) -> Tensor:
    """What multiplies the maps' spectra: (Q, 2 C, 2 O), complex products as real ones.

    Args:
        weight: (O, C, k, k).
        size: of the maps.
        dtype: of the result.
        rows: which frequencies.
    """
    outputs, inputs, kernel_size, _ = weight.shape
    matrix = like(transforms(*size, kernel_size)[2][:, rows].flatten(0, 1), weight)
    spectra = matrix @ weight.permute(2, 3, 1, 0).flatten(2).flatten(0, 1)
    real, imaginary = spectra.to(dtype).view(2, -1, inputs, outputs)
    found = real.new_empty(len(real), 2, inputs, 2, outputs)
    found[:, 0, :, 0] = found[:, 1, :, 1] = real
    found[:, 0, :, 1] = imaginary
    torch.neg(imaginary, out=found[:, 1, :, 0])
    return found.view(-1, 2 * inputs, 2 * outputs)


def to_spectra(x: Tensor, kernel_size: int, rows: slice = ALL, shares: bool = False) -> Tensor:
    """Maps (N, C, h, w) -> (Q, N, 2 C).

    Args:
        x: the maps.
        kernel_size: k.
        rows: which frequencies.
        shares: multiply by each frequency's share in a sum over all places.
    """
    forward, backward, _ = transforms(x.shape[2], x.shape[3], kernel_size)
    matrix = backward[:, rows].permute(1, 2, 0) if shares else forward[rows]
    spectra = like(matrix.flatten(0, 1), x) @ x.permute(0, 2, 3, 1).flatten(1, 2)
    return spectra.view(len(x), len(matrix), -1).transpose(0, 1)


def to_maps(spectra: Tensor, size: tuple[int, int], kernel_size: int, rows: slice = ALL) -> Tensor:
    """(Q, N, 2 C) -> maps (N, C, h, w), their memory in the order (N, h, w, C)."""
    frequencies, count, width = spectra.shape
    matrix = like(transforms(*size, kernel_size)[1][:, rows].flatten(1), spectra)
    parts = spectra.view(frequencies, count, 2, width // 2).transpose(0, 1)
    found = matrix @ parts.reshape(count, 2 * frequencies, width // 2)
    return found.view(count, *size, width // 2).permute(0, 3, 1, 2)


def empty_maps(x: Tensor, channels: int) -> Tensor:
    """(N, channels, h, w) like ``x``, channels last."""
    shape = (len(x), channels, *x.shape[2:])
    form = torch.channels_last
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=form)


def convolve(x: Tensor, spectra: Tensor, bias: Tensor | None, kernel_size: int) -> Tensor:
    """Convolve maps (N, C, h, w) with :func:`kernel_spectra`, zeros around: (N, O, h, w)."""
    size = (x.shape[2], x.shape[3])
    found = empty_maps(x, spectra.shape[-1] // 2)
    added = x.new_zeros(found.shape[1]) if bias is None else bias.to(x.dtype)
    step = max(1, PART // math.prod(size))
    for part, place in zip(x.split(step), found.split(step), strict=True):
        product = to_spectra(part, kernel_size) @ spectra
        torch.add(to_maps(product, size, kernel_size), added[:, None, None], out=place)
    return found


def blocks(size: tuple[int, int], kernel_size: int) -> list[slice]:
    """All frequencies, some at a time."""
    count = len(transforms(*size, kernel_size)[0])
    return [slice(i, i + FREQUENCIES) for i in range(0, count, FREQUENCIES)]


def convolve_by_frequency(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same with the kernels (O, C, k, k), whose spectra are never there as a whole."""
    size, kernel_size = (x.shape[2], x.shape[3]), weight.shape[-1]
    total: Any = 0.0 if bias is None else bias[:, None, None]
    for rows in blocks(size, kernel_size):
        product = to_spectra(x, kernel_size, rows) @ kernel_spectra(weight, size, x.dtype, rows)
        part = to_maps(product, size, kernel_size, rows)
        # In the weights' type: sums of half precision would lose digits.
        total = total.add_(part) if rows.start else total + part.to(weight.dtype)
    return empty_maps(x, len(weight)).copy_(total)


class _SpectralConvolution(torch.autograd.Function):
    """Keeps maps and kernels, not their spectra."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return convolve_by_frequency(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(2, 3).transpose(0, 1)
            of_x = _SpectralConvolution.apply(gradient, turned, None)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(x, gradient, weight)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3), dtype=weight.dtype)
        return of_x, of_weight, of_bias


def _weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    outputs, inputs, kernel_size, _ = weight.shape
    size = (x.shape[2], x.shape[3])
    total: Any = 0.0
    for rows in blocks(size, kernel_size):
        spectra = to_spectra(x, kernel_size, rows).transpose(1, 2)
        products = spectra @ to_spectra(gradient, kernel_size, rows, shares=True)
        parts = products.to(weight.dtype).view(-1, 2, inputs, 2, outputs)
        of_real = parts[:, 0, :, 0] + parts[:, 1, :, 1]
        of_imaginary = parts[:, 0, :, 1] - parts[:, 1, :, 0]
        kernel = like(transforms(*size, kernel_size)[2][:, rows].flatten(0, 1), weight)
        total = total + kernel.t() @ torch.cat([of_real, of_imaginary]).flatten(1)
    return total.view(kernel_size, kernel_size, inputs, outputs).permute(3, 2, 0, 1)


def spectral_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What ``F.conv2d`` gives with ``padding=k // 2``, by spectra.

    Args:
        x: (N, C, h, w), N may be 0.
        weight: (O, C, k, k), k odd; of any floating type.
        bias: (O,).

    Returns:
        (N, O, h, w) of x's type.
    """
    return _SpectralConvolution.apply(x, weight, bias)


class SmallMapConv2d(nn.Conv2d):
    """A convolution, as large as its input, for many small maps such as region features.

    On the CPU it multiplies spectra where that takes less than the taps do; elsewhere, and in
    compiled or exported programs, it is the usual convolution. State-dict names are those of
    ``nn.Conv2d``.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: k, odd.
        bias: whether to add one.
        activation: called on the result.

    Raises:
        ValueError: an even kernel size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}: an odd size keeps the maps' size")
        super().__init__(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias
        )
        self.activation = activation
        self._kept: Tensor | None = None

    def spectra_pay(self, maps: int, size: tuple[int, int], device: torch.device) -> bool:
        """Whether so many maps are convolved faster by spectra; counts multiplications."""
        # What is read from a trace loses writes into views, and sizes there are no numbers.
        if device.type != "cpu" or torch.compiler.is_compiling() or recording():
            return False
        if not math.prod(size):
            return False
        taps, pairs = self.kernel_size[0], self.in_channels * self.out_channels
        values = 2 * (size[0] + taps // 2) * ((size[1] + taps // 2) // 2 + 1)
        transformed = values * math.prod(size) * (self.in_channels + self.out_channels)
        spectral = (maps + KERNELS_WORTH) * 2 * values * pairs + maps * transformed
        # Products of half the size are not quite as quick.
        return 1.3 * spectral < maps * math.prod(size) * taps**2 * pairs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, O, h, w); N may be 0."""
        size, kept = (x.shape[2], x.shape[3]), self._kept
        if kept is None and not self.spectra_pay(len(x), size, x.device):
            return self._finish(F.conv2d(x, self.weight, self.bias, padding=self.padding))
        x = _in_autocast_type(x)
        with torch.autocast(x.device.type, enabled=False):
            if kept is None:
                return self._finish(spectral_conv2d(x, self.weight, self.bias))
            return self._finish(convolve(x, kept, self.bias, self.kernel_size[0]))

    @contextmanager
    def kept_spectra(self, maps: int, like: Tensor) -> Iterator[None]:
        """Within it the kernels are transformed once for many calls, which have no gradients.

        Args:
            maps: how many there will be in all calls.
            like: maps (…, h, w) of their size, type and device.
        """
        size = (like.shape[-2], like.shape[-1])
        if self.spectra_pay(maps, size, like.device):
            dtype = _in_autocast_type(like).dtype
            with torch.no_grad(), torch.autocast(like.device.type, enabled=False):
                self._kept = kernel_spectra(self.weight, size, dtype)
        try:
            yield
        finally:
            self._kept = None

    def _finish(self, x: Tensor) -> Tensor:
        return x if self.activation is None else self.activation(x)


def _in_autocast_type(x: Tensor) -> Tensor:
    """As autocast would have a convolution's input."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x
