"""What images a backbone was trained on, and how its weights fit a model that sees others.

Images reach the first convolution as ``(pixel - mean) / std``, channels in RGB or BGR order. Where
a file and a model agree in the mean, order and standard deviation can be moved into the weights of
the first convolution without any change of the outputs, because it has no bias and images are
padded with zeros after the normalisation. A different mean cannot (not at the borders), and
neither can the place of a stage's stride: both are refused.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .key_map import Target, Weights


@dataclass(frozen=True)
class InputConvention:
    """On what a backbone was trained.

    Attributes:
        order: ``RGB`` or ``BGR``.
        mean: subtracted from pixel values of 0 to 255, in this order.
        std: what the difference is divided by.
        stride_in_1x1: whether a stage's stride is in the first 1x1 convolution of its first
            bottleneck block, and not in the 3x3; None if unknown.
    """

    order: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stride_in_1x1: bool | None = None

    def reordered(self, order: str) -> "InputConvention":
        """The same with the channels in the given order."""
        if order == self.order:
            return self
        return InputConvention(order, self.mean[::-1], self.std[::-1], self.stride_in_1x1)

    def __str__(self) -> str:
        return f"{self.order} less {_numbers(self.mean)} over {_numbers(self.std)}"


PYTORCH = InputConvention(
    "RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), stride_in_1x1=False
)
"""torchvision's models, and OpenMMLab's in the "pytorch" style."""

MSRA = InputConvention("BGR", (103.53, 116.28, 123.675), (1.0, 1.0, 1.0), stride_in_1x1=True)
"""The original ResNets, as Detectron2 uses them by default."""


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def model_convention(model: nn.Module, reference: InputConvention) -> InputConvention | None:
    """The model's own convention, None if it does not normalise images.

    A model that does not say in which order it takes channels has the one in which its mean is
    the reference's.
    """
    mean, std = getattr(model, "pixel_mean", None), getattr(model, "pixel_std", None)
    if not isinstance(mean, Tensor) or not isinstance(std, Tensor) or mean.numel() != 3:
        return None
    order = getattr(model, "input_format", None)
    means, deviations = tuple(mean.flatten().tolist()), tuple(std.flatten().tolist())
    if order not in ("RGB", "BGR"):
        other = "BGR" if reference.order == "RGB" else "RGB"
        order = reference.order if _close(means, reference.mean) else other
    return InputConvention(order, means, deviations, _stride_in_1x1(model))


def _close(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(abs(a - b) <= 0.01 for a, b in zip(first, second, strict=True))


def _stride_in_1x1(model: nn.Module) -> bool | None:
    """Where the model's bottleneck blocks have their stride; None if there is no such block."""
    for block in model.modules():
        layers = [getattr(block, name, None) for name in ("conv1", "conv2", "conv3")]
        if all(isinstance(layer, nn.Conv2d) for layer in layers):
            strides = [layer.stride[0] for layer in layers if isinstance(layer, nn.Conv2d)]
            if max(strides[:2]) > 1:
                return strides[0] > 1
    return None


def fit_first_convolution(
    matched: dict[str, Tensor], file: InputConvention | None, target: Target, weights: Weights
) -> str:
    """Adapt, in place, the first convolution in ``matched`` to the images that the model sees.

    Args:
        matched: the model's names -> the file's tensors.
        file: the file's convention; None changes nothing.
        target: the model.
        weights: what the file holds, for messages.

    Returns:
        what the report says about it; empty if there is nothing to say.

    Raises:
        ValueError: the conventions differ in a way that no weights can make good.
    """
    first = next((name for name, value in matched.items() if _sees_images(name, value)), None)
    if file is None or first is None:
        return ""
    own = model_convention(target.model, file)
    stride = _stride_in_1x1(target.model)
    if None not in (stride, file.stride_in_1x1) and stride != file.stride_in_1x1:
        raise ValueError(
            f"{weights.source} has the stride of a ResNet stage in its "
            f"{'first 1x1' if file.stride_in_1x1 else '3x3'} convolution, the model does not: set "
            f"stride_in_1x1={file.stride_in_1x1} for the stages of its ResNet "
            f"(in YAML MODEL.RESNETS.STRIDE_IN_1X1: {file.stride_in_1x1})"
        )
    if own is None:
        return f"trained on {file}; the model does not say what it sees"
    return _move_into_weights(matched, first, file, own, weights.source)


def _sees_images(name: str, value: Tensor) -> bool:
    return "stem." in name and value.dim() == 4 and value.shape[1] == 3


def _move_into_weights(
    matched: dict[str, Tensor], first: str, file: InputConvention, own: InputConvention, source: str
) -> str:
    wanted = file.reordered(own.order)
    if not _close(wanted.mean, own.mean):
        raise ValueError(
            f"{source} was trained on {file}, the model sees {own}: set model.pixel_mean="
            f"{list(wanted.mean)} (in YAML MODEL.PIXEL_MEAN), for {own.order} images"
        )
    same_scale = _close(wanted.std, own.std)
    if own.order == file.order and same_scale:
        return f"{file}, as the model's"
    weight = matched[first] if own.order == file.order else matched[first].flip(1)
    if not same_scale:
        factors = torch.tensor(own.std, dtype=torch.float64) / torch.tensor(wanted.std)
        weight = (weight.double() * factors.view(1, -1, 1, 1)).to(weight.dtype)
    matched[first] = weight
    return f"{first} changed from {file} to {own}, which gives the same outputs"


def convention_of_config(text: str, default: InputConvention) -> InputConvention:
    """What an OpenMMLab config says about images and strides; ``default`` where it is silent."""
    found = re.search(r"mean=\[([^\]]*)\],\s*std=\[([^\]]*)\]", text)
    order = re.search(r"to_rgb=(True|False)", text)
    style = re.search(r"style='(caffe|pytorch)'", text)
    mean, std = (_floats(found[1]), _floats(found[2])) if found else (default.mean, default.std)
    return InputConvention(
        ("RGB" if order[1] == "True" else "BGR") if order else default.order,
        mean,
        std,
        style[1] == "caffe" if style else default.stride_in_1x1,
    )


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(",") if number.strip())
