"""Content-aware reassembly of features (CARAFE, arXiv 1905.02188, sections 3.1 and 3.2).

Shapes: N maps, C channels in ``groups`` groups, H x W source positions, k x k neighbourhoods,
scale s. Output position (y, x) reads the neighbourhood of source position (y // s, x // s).

The operator is ``torch.ops.projects_ext.carafe``: computed by :mod:`.carafe_triton` on CUDA where
Triton is installed, by :mod:`.carafe_rows` anywhere else. It is linear in the features and in the
kernels, so its gradients are linear in all three, and their gradients are the same two operators
again: it can be differentiated any number of times. Programs that `torch.export` writes, and so
ONNX files, contain standard operators instead, and need nothing of this project.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

from . import carafe_rows
from .exporting import exporting


def carafe(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """Each output position is the weighted sum of its source's neighbourhood, zero outside.

    Sums are kept in float32 (float64 for float64), whatever type features and kernels have.

    Args:
        x: features (N, C, H, W).
        kernels: (N, groups k², H s, W s), one kernel for each output position and group; the
            caller normalises them.
        kernel_size: k, odd.
        groups: channels of one group share a kernel.
        scale: s.

    Returns:
        (N, C, H s, W s), of x's type and memory format.

    Raises:
        ValueError: an even kernel, groups that do not divide C, or kernels of another shape.
    """
    check_arguments(x, kernels, kernel_size, groups, scale)
    if exporting():
        return by_shifts(x, kernels, kernel_size, groups, scale)
    return _carafe(x, kernels, kernel_size, groups, scale)


def check_options(channels: int, kernel_size: int, groups: int, scale: int) -> None:
    """Options that cannot be meant end in a ValueError of one sentence."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is {kernel_size}: a neighbourhood has an odd size")
    if scale < 1:
        raise ValueError(f"scale is {scale}: give 1 or more")
    if groups < 1 or channels % groups:
        raise ValueError(f"{channels} channels cannot be shared out among {groups} groups")


def check_arguments(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> None:
    """Tensors that do not fit each other or the options end in a ValueError of one sentence."""
    if x.dim() != 4:
        raise ValueError(f"features have shape {tuple(x.shape)}: give (N, C, H, W)")
    n, channels, height, width = x.shape
    check_options(channels, kernel_size, groups, scale)
    expected = (n, groups * kernel_size**2, height * scale, width * scale)
    if tuple(kernels.shape) != expected:
        raise ValueError(f"kernels have shape {tuple(kernels.shape)}, not {expected}")


def by_shifts(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """The same in standard operators alone: shifted features times kernels, tap after tap."""
    n, channels, height, width = x.shape
    precise = carafe_rows.precise(x)
    weights = F.pixel_unshuffle(kernels.to(precise), scale)
    weights = weights.view(n, groups, 1, kernel_size**2, scale**2, height, width)
    around = F.pad(x.to(precise), [kernel_size // 2] * 4).unflatten(1, (groups, -1, 1))
    output = torch.zeros((), dtype=precise, device=x.device)
    for tap in range(kernel_size**2):
        i, j = divmod(tap, kernel_size)
        shifted = around[..., i : i + height, j : j + width]
        output = output + shifted * weights[:, :, :, tap]
    return F.pixel_shuffle(output.view(n, channels * scale**2, height, width), scale).to(x.dtype)


@functools.cache
def _cuda_form() -> Any:
    """The module that computes on CUDA. Triton is imported when it is first needed."""
    try:
        from . import carafe_triton
    except ImportError:
        return carafe_rows
    return carafe_triton


def _form(x: Tensor) -> Any:
    return _cuda_form() if x.device.type == "cuda" else carafe_rows


@torch.library.custom_op("projects_ext::carafe", mutates_args=())
def _carafe(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return _form(x).reassemble(x, kernels, kernel_size, groups, scale)


@_carafe.register_fake
def _(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    return carafe_rows.empty_output(x, scale)


@torch.library.custom_op("projects_ext::carafe_gradients", mutates_args=())
def _gradients(
    gradient: Tensor,
    x: Tensor,
    kernels: Tensor,
    kernel_size: int,
    groups: int,
    scale: int,
    of_features: bool,
    of_kernels: bool,
) -> tuple[Tensor, Tensor]:
    wanted = (of_features, of_kernels)
    with torch.autocast(x.device.type, enabled=False):
        return _form(x).gradients(gradient, x, kernels, kernel_size, groups, scale, *wanted)


@_gradients.register_fake
def _(
    gradient: Tensor,
    x: Tensor,
    kernels: Tensor,
    kernel_size: int,
    groups: int,
    scale: int,
    of_features: bool,
    of_kernels: bool,
) -> tuple[Tensor, Tensor]:
    return carafe_rows.empty_gradients(gradient, x, kernels, of_features, of_kernels)


def _keep(ctx: Any, inputs: tuple, output: Any) -> None:
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.options = inputs[len(tensors) :]


def _carafe_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, kernels = ctx.saved_tensors
    wanted = ctx.needs_input_grad[:2]
    found = _gradients(gradient, x, kernels, *ctx.options, *wanted)
    asked = [value if want else None for value, want in zip(found, wanted, strict=True)]
    return *asked, None, None, None


def _gradients_backward(ctx: Any, for_x: Tensor, for_kernels: Tensor) -> tuple[Tensor | None, ...]:
    """The pairing of the gradients with ``for_x`` and ``for_kernels``, differentiated."""
    gradient, x, kernels = ctx.saved_tensors
    *options, of_features, of_kernels = ctx.options
    parts, again_x, again_kernels = [], None, None
    if of_features:
        parts.append(_carafe(for_x, kernels, *options))
        again_kernels = _gradients(gradient, for_x, kernels, *options, False, True)[1]
    if of_kernels:
        parts.append(_carafe(x, for_kernels, *options))
        again_x = _gradients(gradient, x, for_kernels, *options, True, False)[0]
    return sum(parts[1:], *parts[:1]), again_x, again_kernels, *[None] * 5


_carafe.register_autograd(_carafe_backward, setup_context=_keep)
_gradients.register_autograd(_gradients_backward, setup_context=_keep)


def _multiply_adds(shape: Sequence[int], kernel_size: int, scale: int) -> int:
    """Multiply-adds of the operator for features of this shape; of each gradient as well."""
    n, channels, height, width = shape
    return n * channels * height * width * (scale * kernel_size) ** 2


@register_flop_formula(torch.ops.projects_ext.carafe)
def _carafe_flops(x: Any, kernels: Any, k: int, groups: int, s: int, **_: Any) -> int:
    return 2 * _multiply_adds(x, k, s)


@register_flop_formula(torch.ops.projects_ext.carafe_gradients)
def _gradient_flops(
    gradient: Any, x: Any, kernels: Any, k: int, groups: int, s: int, *wanted: bool, **_: Any
) -> int:
    return 2 * _multiply_adds(x, k, s) * sum(wanted)


def _fvcore_count(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """fvcore's count, one for a multiplication with its addition, of a traced call."""
    x, _, kernel_size, _, scale = inputs
    return _multiply_adds(x.type().sizes(), kernel_size.toIValue(), scale.toIValue())


FVCORE_HANDLES = {"projects_ext::carafe": _fvcore_count}
"""For ``fvcore.nn.FlopCountAnalysis(...).set_op_handle(**FVCORE_HANDLES)``."""


def _shuffle(x: Tensor, scale: int) -> Tensor:
    """F.pixel_shuffle by elementary steps."""
    parts = x.unflatten(1, (x.shape[1] // scale**2, scale, scale))
    return parts.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


class CARAFEUpsample(nn.Module):
    """Predicts the kernels from the features themselves, then reassembles with them.

    A 1x1 convolution compresses the channels, a second one encodes the content; pixel shuffle
    gives each output position its k² logits, and softmax normalises them (section 3.2).

    Args:
        channels: C.
        scale: s.
        kernel_size: k of the neighbourhoods that are reassembled.
        groups: groups of channels with kernels of their own.
        encoder_kernel: size of the content encoder.
        encoder_dilation: its dilation.
        compressed_channels: what is left of C for the encoder.

    Raises:
        ValueError: an even kernel size, groups that do not divide C, or no scale.
    """

    def __init__(
        self,
        channels: int,
        *,
        scale: int = 2,
        kernel_size: int = 5,
        groups: int = 1,
        encoder_kernel: int = 3,
        encoder_dilation: int = 1,
        compressed_channels: int = 64,
    ) -> None:
        super().__init__()
        check_options(channels, kernel_size, groups, scale)
        if encoder_kernel % 2 == 0:
            raise ValueError(f"encoder_kernel is {encoder_kernel}: an odd size keeps the map's")
        self.scale, self.kernel_size, self.groups = scale, kernel_size, groups
        self.compressor = nn.Conv2d(channels, compressed_channels, 1)
        self.encoder = nn.Conv2d(
            compressed_channels,
            groups * kernel_size**2 * scale**2,
            encoder_kernel,
            padding=(encoder_kernel - 1) // 2 * encoder_dilation,
            dilation=encoder_dilation,
        )
        nn.init.xavier_uniform_(self.compressor.weight)
        # Next to uniform kernels at first: the mean of the neighbourhood.
        nn.init.normal_(self.encoder.weight, std=0.001)
        for bias in (self.compressor.bias, self.encoder.bias):
            if bias is not None:
                nn.init.zeros_(bias)

    def kernels(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, groups k², H s, W s) in float32 or x's type if that is wider."""
        logits = self.encoder(self.compressor(x))
        # PyTorch's gradient of pixel_shuffle has the wrong shape where no map is given.
        shuffle = F.pixel_shuffle if x.shape[0] else _shuffle
        logits = shuffle(logits, self.scale)
        precise = torch.promote_types(logits.dtype, torch.float32)
        n, taps, *size = logits.shape
        grouped = logits.reshape(n, self.groups, taps // self.groups, *size)
        return grouped.softmax(2, dtype=precise).reshape(n, taps, *size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H s, W s)."""
        return carafe(x, self.kernels(x), self.kernel_size, self.groups, self.scale)
