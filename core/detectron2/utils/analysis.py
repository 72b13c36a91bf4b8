"""Parameter and operation counts of models whose inputs and outputs are not plain tensors."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis as _FlopCountAnalysis
from fvcore.nn import parameter_count
from fvcore.nn import parameter_count_table as _parameter_count_table
from torch import nn

__all__ = ["FlopCountAnalysis", "parameter_count", "parameter_count_table"]

_FREE_OPERATORS = (
    "add add_ argmax argsort batch_norm constant_pad_nd div div_ exp log2 max_pool2d meshgrid mul "
    "mul_ neg nonzero_numpy reciprocal repeat_interleave rsub sigmoid sigmoid_ softmax sort sqrt "
    "sub topk"
)
"""ATen operators that count as free: cheap beside convolutions, or fused into them."""

_IGNORED_OPS = {f"aten::{name}" for name in _FREE_OPERATORS.split()} | {"torchvision::nms"}


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested containers, structures (``Boxes``, ``Instances``...) and results."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif hasattr(value, "get_fields"):
        yield from _tensors(value.get_fields())
    elif hasattr(value, "tensor"):
        yield from _tensors(value.tensor)


def _rebuild(value: Any, tensors: Iterator[torch.Tensor]) -> Any:
    """``value`` with the tensors of its lists, tuples and mappings replaced by ``tensors``."""
    if isinstance(value, torch.Tensor):
        return next(tensors)
    if isinstance(value, Mapping):
        return {key: _rebuild(item, tensors) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_rebuild(item, tensors) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_rebuild(item, tensors) for item in value)
    return value


def _is_plain(value: Any) -> bool:
    """Whether all tensors in ``value`` are reached through lists, tuples and mappings alone."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, torch.Tensor) or not any(True for _ in _tensors(value))


class _TensorsInTensorsOut(nn.Module):
    """A module on plain tensors, which tracing needs, around one on nested structures."""

    def __init__(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the model on its own kind of input, made of ``tensors``."""
        outputs = self.model(*_rebuild(self.inputs, iter(tensors)))
        return tuple(_tensors(outputs))


class FlopCountAnalysis(_FlopCountAnalysis):
    """fvcore's counter of multiply-adds, for models such as ``GeneralizedRCNN``.

    Names of modules in its answers begin with ``model.``; the total is ``.total()``. Element-wise
    operators and batch normalisation count as free.
    """

    def __init__(self, model: nn.Module, inputs: Any) -> None:
        """Prepare the count; the model runs when an answer is asked for.

        Args:
            model: any module; put it into evaluation mode before for inference counts.
            inputs: what ``model`` is called with: one argument, or a tuple of them, e.g.
                ``[{"image": image}]`` or ``([{"image": image}],)``.
        """
        arguments = inputs if isinstance(inputs, tuple) else (inputs,)
        if not _is_plain(arguments):
            raise TypeError(
                "FlopCountAnalysis takes inputs made of tensors, lists, tuples and dicts: pass the "
                "model in evaluation mode with dicts that hold 'image', without 'instances'."
            )
        flat = tuple(_tensors(arguments))
        super().__init__(_TensorsInTensorsOut(model, arguments), flat)
        self.set_op_handle(**dict.fromkeys(_IGNORED_OPS))


def parameter_count_table(model: nn.Module, max_depth: int = 3) -> str:
    """A table of parameter counts and shapes by submodule.

    Args:
        model: any module.
        max_depth: how many levels of submodules to list.
    """
    return _parameter_count_table(model, max_depth)
