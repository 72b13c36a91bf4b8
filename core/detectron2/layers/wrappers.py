"""PyTorch's own layers and functions, with the few additions detectors rely on."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from detectron2.utils.env import TORCH_VERSION  # noqa: F401

__all__ = [
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "Linear",
    "cat",
    "cross_entropy",
    "empty_input_loss_func_wrapper",
    "interpolate",
    "move_device_like",
    "nonzero_tuple",
    "shapes_to_tensor",
]

# These accept empty batches in every supported PyTorch; the names are part of the API.
BatchNorm2d = nn.BatchNorm2d
ConvTranspose2d = nn.ConvTranspose2d
Linear = nn.Linear
interpolate = F.interpolate


class Conv2d(nn.Conv2d):
    """A convolution with its normalisation and activation.

    State-dict names are ``weight``, ``bias`` and ``norm.*``.
    """

    def __init__(
        self,
        *args: Any,
        norm: nn.Module | None = None,
        activation: Callable[[torch.Tensor], torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """Makes the convolution.

        Args:
            *args: as for :class:`torch.nn.Conv2d`.
            norm: applied to the result, before the activation.
            activation: a function of the normalised result.
            **kwargs: as for :class:`torch.nn.Conv2d`. ``bias`` stays True by default, with a norm
                too.
        """
        super().__init__(*args, **kwargs)
        self.norm = norm
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolution, normalisation, activation. ``x``: (N, C, H, W), N may be 0."""
        if not torch.jit.is_scripting():
            self._check_not_empty(x)
        # In the words that TorchScript compiles: no super(), and None only in an if.
        out = self._conv_forward(x, self.weight, self.bias)
        if self.norm is not None:
            out = self.norm(out)
        if self.activation is not None:
            out = self.activation(out)
        return out

    def _check_not_empty(self, x: torch.Tensor) -> None:
        if x.numel() == 0 and self.training and isinstance(self.norm, nn.SyncBatchNorm):
            raise ValueError(
                "SyncBatchNorm cannot be trained with an empty batch: use naiveSyncBN_N instead"
            )


def cat(tensors: list[torch.Tensor], dim: int = 0) -> torch.Tensor:
    """Like :func:`torch.cat`, but a single tensor is returned as it is, without a copy.

    Raises:
        TypeError: ``tensors`` is neither a list nor a tuple.
    """
    if not torch.jit.is_scripting() and not isinstance(tensors, (list, tuple)):
        raise TypeError(f"cat expects a list or tuple of tensors, got a {type(tensors).__name__}")
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)


def empty_input_loss_func_wrapper(loss_func: Callable[..., torch.Tensor]) -> Callable:
    """Makes a loss usable without any samples.

    The mean over nothing is NaN. The wrapped loss gives 0 instead, still connected to its input, so
    that every parameter has a gradient (distributed training waits for them).

    Args:
        loss_func: called with (input, target, reduction=..., ...).
    """

    @functools.wraps(loss_func, assigned=("__name__", "__doc__"))
    def safe_loss(
        input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean", **kwargs: Any
    ) -> torch.Tensor:
        if reduction == "mean" and target.numel() == 0:
            return 0.0 * input.sum()
        return loss_func(input, target, reduction=reduction, **kwargs)

    # The loss's own signature has options as positional parameters, this one has not.
    del safe_loss.__wrapped__
    return safe_loss


cross_entropy = empty_input_loss_func_wrapper(F.cross_entropy)


def nonzero_tuple(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Positions of the nonzero elements: one index tensor a dimension (one for a scalar)."""
    return torch.atleast_1d(x).nonzero(as_tuple=True)


def move_device_like(src: torch.Tensor, dst: torch.Tensor) -> torch.Tensor:
    """``src`` on the device of ``dst``."""
    return src.to(device=dst.device)


def shapes_to_tensor(x: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
    """A list of sizes as an int64 tensor."""
    return torch.as_tensor(x, dtype=torch.int64, device=device)


class _NewEmptyTensorOp(torch.autograd.Function):
    """An uninitialized tensor of a new shape whose gradient is one of the input's shape."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, new_shape: Sequence[int]) -> torch.Tensor:
        ctx.shape = x.shape
        return x.new_empty(new_shape)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _NewEmptyTensorOp.apply(grads[0], ctx.shape), None


def check_if_dynamo_compiling() -> bool:
    """Whether ``torch.compile`` is following this call."""
    return bool(torch.compiler.is_compiling())


def disable_torch_compiler(func: Callable) -> Callable:
    """``func`` as a function that ``torch.compile`` leaves alone."""
    return torch.compiler.disable(func)
