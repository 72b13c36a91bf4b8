"""What images a backbone was trained on, and how its weights fit a model that sees others.

Images reach the first convolution as ``(pixel - mean) / std``, channels in RGB or BGR order. Where
a file and a model agree in the mean, order and standard deviation can be moved into the weights of
the first convolution without any change of the outputs, because it has no bias and images are
padded with zeros after the normalisation. A different mean cannot (not at the borders), and
neither can the place of a stage's stride: both are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

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

    def as_plain_values(self) -> dict[str, Any]:
        """What a file holds of it, under :data:`INPUT_KEY`."""
        return {
            **asdict(self), "mean": list(map(float, self.mean)), "std": list(map(float, self.std))
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.order} less {_numbers(self.mean)} over {_numbers(self.std)}"


INPUT_KEY = "input"
"""The key in checkpoints of this project under which the convention travels with the weights."""

PYTORCH = InputConvention(
    "RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), stride_in_1x1=False
)
"""torchvision's models, and OpenMMLab's in the "pytorch" style."""

MSRA = InputConvention("BGR", (103.53, 116.28, 123.675), (1.0, 1.0, 1.0), stride_in_1x1=True)
"""The original ResNets, as Detectron2 uses them by default."""

FACEBOOK_RESNEXT = InputConvention("BGR", MSRA.mean, PYTORCH.std[::-1], stride_in_1x1=False)
"""Detectron2's ResNeXts."""


def stored_convention(others: Mapping[str, Any]) -> InputConvention | None:
    """What a file of this project says beside its weights; None if it does not say.

    Raises:
        ValueError: what it says makes no sense.
    """
    stored = others.get(INPUT_KEY)
    if not isinstance(stored, Mapping):
        return None
    try:
        mean, std = tuple(map(float, stored["mean"])), tuple(map(float, stored["std"]))
        return InputConvention(stored["order"], mean, std, stored.get("stride_in_1x1"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"'{INPUT_KEY}' beside the weights is {dict(stored)}, but should have order, mean and "
            "std: write the file again"
        ) from error


def describe_input(model: nn.Module) -> dict[str, Any] | None:
    """What a checkpoint of a model should hold under :data:`INPUT_KEY`; None if nothing is known.

    Args:
        model: a detector or segmentor, also in DistributedDataParallel.
    """
    model = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    if getattr(model, "input_format", None) not in ("RGB", "BGR"):
        return None
    convention = model_convention(model, PYTORCH)
    return None if convention is None else convention.as_plain_values()


def caffe2_convention(entries: Mapping[str, Tensor]) -> InputConvention | None:
    """The convention of a detector that began with Caffe2's ImageNet weights.

    These have the statistics of their norms merged into scale and bias: means of 0 and variances
    of 1, which no other weights have. ResNeXt's grouped convolutions tell the two kinds apart.

    Args:
        entries: of a whole model or of its ResNet, under Detectron2's names.

    Returns:
        None for weights that began elsewhere.
    """
    stem = next((name for name in entries if name.endswith("stem.conv1.norm.running_mean")), None)
    if stem is None:
        return None
    start = stem.removesuffix("stem.conv1.norm.running_mean")
    variance = entries.get(f"{start}stem.conv1.norm.running_var")
    if variance is None or entries[stem].any() or (variance - 1).abs().max() > 1e-4:
        return None
    middle = entries.get(f"{start}res2.0.conv2.weight")
    grouped = middle is not None and middle.shape[0] != middle.shape[1]
    return FACEBOOK_RESNEXT if grouped else MSRA


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
        places = {True: "first 1x1", False: "3x3"}
        raise ValueError(
            f"{weights.source} has the stride of a ResNet stage in its "
            f"{places[bool(file.stride_in_1x1)]} convolution, the model in the "
            f"{places[bool(stride)]} one: set "
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
    """What an OpenMMLab config says about images and strides; ``default`` where it is silent.

    Args:
        text: Python, or what files of several ones were joined to; keys in any order.
        default: as described.
    """
    numbers = {
        key: re.search(rf"(?<!\w){key}\s*=\s*[\[(]([^\])]*)[\])]", text) for key in ("mean", "std")
    }
    order = re.search(r"to_rgb\s*=\s*(True|False)", text)
    style = re.search(r"style\s*=\s*['\"](caffe|pytorch)['\"]", text)
    mean, std = (
        _floats(found[1]) if found else fallback
        for found, fallback in zip(numbers.values(), (default.mean, default.std), strict=True)
    )
    return InputConvention(
        ("RGB" if order[1] == "True" else "BGR") if order else default.order,
        mean,
        std,
        style[1] == "caffe" if style else default.stride_in_1x1,
    )


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(",") if number.strip())
