"""The mask head whose weights are made for each instance (CondInst, arXiv 2003.05664, Fig. 3).

Shapes: I instances of one image, C mask features at stride s on H x W cells, D channels of the
hidden layers. Three 1x1 convolutions C + 2 -> D -> D -> 1, with ReLU between; two of the inputs are
coordinates relative to the instance.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

BLOCK = 2**19
"""Hidden values of a block of instances on the CPU: they should stay in its cache."""

BLOCK_ON_GPU = 2**25
"""The same elsewhere, where it bounds the memory."""


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """No autocast within: coordinates in pixels need more digits than half precision has."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def cell_centers(height: int, width: int, stride: int, device: torch.device | str) -> Tensor:
    """Where the cells of a map lie in the image: (H * W, 2) float, x and y in pixels."""
    x = (torch.arange(width, device=device) + 0.5) * stride
    y = (torch.arange(height, device=device) + 0.5) * stride
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((columns, rows), dim=-1).flatten(0, 1)


def parameter_sizes(features: int, channels: int) -> list[int]:
    """How many weights, then biases, the three layers have, in the order they are predicted in."""
    weights = [(features + 2) * channels, channels * channels, channels]
    return [*weights, channels, channels, 1]


class DynamicLayers(NamedTuple):
    """The weights of all instances' heads.

    Attributes:
        first: (I, D, C + 3), for mask features, x, y and a constant.
        second: (I, D, D).
        second_bias: (I, D, 1).
        third: (I, 1, D).
        third_bias: (I, 1, 1).
    """

    first: Tensor
    second: Tensor
    second_bias: Tensor
    third: Tensor
    third_bias: Tensor


def dynamic_layers(
    parameters: Tensor, points: Tensor, sizes: Tensor, features: int, channels: int
) -> DynamicLayers:
    """Bring predicted parameters into the form in which all instances have the same inputs.

    Relative coordinates are (point - cell) / size, so that the first layer's part for them is
    linear in the cell's own coordinates: (w / size) . point + bias, less (w / size) . cell.

    Args:
        parameters: (I, P), as :func:`parameter_sizes` orders them; a layer's weights lie by output
            channel, in the first layer x and y before the features.
        points: (I, 2) the instances' locations in pixels.
        sizes: (I,) pixels that count as one unit of relative coordinates.
        features: C.
        channels: D.
    """
    first, second, third, *biases = parameters.split(parameter_sizes(features, channels), dim=1)
    first = first.unflatten(1, (channels, features + 2))
    across = first[..., :2] / sizes[:, None, None]
    constant = (across * points[:, None]).sum(dim=2) + biases[0]
    return DynamicLayers(
        torch.cat((first[..., 2:], -across, constant[..., None]), dim=2),
        second.unflatten(1, (channels, channels)),
        biases[1][..., None],
        third[:, None],
        biases[2][..., None],
    )


def shared_inputs(features: Tensor, stride: int) -> Tensor:
    """What the first layer of every instance sees: (C + 3, H * W) features, x, y, ones.

    Args:
        features: (C, H, W).
        stride: s.
    """
    height, width = features.shape[-2:]
    cells = cell_centers(height, width, stride, features.device).to(features.dtype)
    return torch.cat((features.flatten(1), cells.t(), torch.ones_like(cells[None, :, 0])))


def apply_layers(layers: DynamicLayers, inputs: Tensor) -> Tensor:
    """Run the three layers: (C + 3, L) -> logits (I, L).

    The first is one matrix product for all instances: nothing is repeated for each of them.
    """
    hidden = (layers.first @ inputs).relu()
    hidden = torch.baddbmm(layers.second_bias, layers.second, hidden).relu()
    return torch.baddbmm(layers.third_bias, layers.third, hidden).squeeze(1)


def being_traced() -> bool:
    """Whether this run becomes a program without Python: a trace, a compiled or exported one.

    Converters of traces (OpenVINO's, ONNX's older one) drop writes into views without a word, and
    any trace fixes how many blocks there are. What works in blocks works in one there.
    """
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def instances_in_a_block(channels: int, cells: int, device: torch.device) -> int:
    """How many instances to treat at a time."""
    limit = BLOCK if device.type == "cpu" else BLOCK_ON_GPU
    return max(1, limit // max(channels * cells, 1))


def dynamic_masks(
    features: Tensor, parameters: Tensor, points: Tensor, sizes: Tensor, *, stride: int,
    channels: int = 8,
) -> Tensor:  # fmt: skip
    """Mask logits of all instances of an image.

    Exactly what an own network for each instance gives on the mask features with relative
    coordinates. In blocks of instances, without keeping hidden values: where gradients are wanted,
    the backward pass computes them again.

    Args:
        features: (C, H, W) of the image.
        parameters, points, sizes: see :func:`dynamic_layers`.
        stride: of the features, in pixels.
        channels: D.

    Returns:
        (I, H, W), float32; I may be 0.
    """
    with full_precision(features.device):
        inputs = shared_inputs(features.float(), stride)
        points, sizes = points.float(), sizes.float()
        layers = dynamic_layers(parameters.float(), points, sizes, len(features), channels)
        size = instances_in_a_block(channels, inputs.shape[1], inputs.device)
        logits = _in_blocks(layers, inputs, size)
    return logits.unflatten(1, features.shape[-2:])


def _in_blocks(layers: DynamicLayers, inputs: Tensor, size: int) -> Tensor:
    count = len(layers.first)
    if being_traced() or count <= size:
        return apply_layers(layers, inputs)
    blocks = zip(*(values.split(size) for values in layers), strict=True)
    tracked = torch.is_grad_enabled() and (layers.first.requires_grad or inputs.requires_grad)
    if tracked:
        logits = [
            checkpoint(apply_layers, DynamicLayers(*block), inputs, use_reentrant=False)
            for block in blocks
        ]
        return torch.cat(logits)
    found = inputs.new_empty(count, inputs.shape[1])
    for block, place in zip(blocks, found.split(size), strict=True):
        place.copy_(apply_layers(DynamicLayers(*block), inputs))
    return found
