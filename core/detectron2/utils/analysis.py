"""Parameter and operation counts of models whose inputs and outputs are not plain tensors."""

from collections import Counter
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis as _FlopCountAnalysis
from fvcore.nn import activation_count, parameter_count
from fvcore.nn import parameter_count_table as _parameter_count_table
from torch import nn

from detectron2.evaluation.evaluator import inference_context
from detectron2.export import TracingAdapter
from detectron2.utils.unavailable import INTERNALS, unavailable

__all__ = [
    "FlopCountAnalysis",
    "activation_count_operators",
    "find_unused_parameters",
    "flop_count_operators",
    "parameter_count",
    "parameter_count_table",
]

_FREE_OPERATORS = (
    "add add_ argmax argsort batch_norm constant_pad_nd div div_ exp log2 max_pool2d meshgrid mul "
    "mul_ neg nonzero_numpy reciprocal repeat_interleave rsub sigmoid sigmoid_ softmax sort sqrt "
    "sub topk"
)
"""ATen operators that count as free: cheap beside convolutions, or fused into them."""

_IGNORED_OPS = {f"aten::{name}" for name in _FREE_OPERATORS.split()} | {"torchvision::nms"}


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
        adapter = TracingAdapter(model, inputs, allow_non_tensor=True)
        super().__init__(adapter, adapter.flattened_inputs)
        self.set_op_handle(**dict.fromkeys(_IGNORED_OPS))


def parameter_count_table(model: nn.Module, max_depth: int = 3) -> str:
    """A table of parameter counts and shapes by submodule.

    Args:
        model: any module.
        max_depth: how many levels of submodules to list.
    """
    return _parameter_count_table(model, max_depth)


def flop_count_operators(model: nn.Module, inputs: Any) -> dict[str, float]:
    """10^9 multiply-adds of a run in evaluation mode by kind of operator.

    Args:
        model: any module. The cost of a detector's heads depends on the number of detections, so
            average over several inputs.
        inputs: see :class:`FlopCountAnalysis`.
    """
    with inference_context(model):
        counts = FlopCountAnalysis(model, inputs).by_operator()
    return {name: count / 1e9 for name, count in counts.items()}


def activation_count_operators(
    model: nn.Module, inputs: list[dict[str, Any]], **kwargs: Any
) -> dict[str, float]:
    """10^6 activations of a run in evaluation mode by kind of operator.

    Args:
        model: a detector.
        inputs: one dict with ``image``; its other keys are ignored.
        kwargs: ``supported_ops``, see ``fvcore.nn.activation_count``.
    """
    assert len(inputs) == 1, f"Activations are counted for one image, not for {len(inputs)}."
    free: dict[str, Any] = {name: lambda *args, **kwargs: Counter() for name in _IGNORED_OPS}
    adapter = TracingAdapter(model, [{"image": inputs[0]["image"]}], allow_non_tensor=True)
    operators = {**free, **kwargs.pop("supported_ops", {})}
    with inference_context(adapter):
        return activation_count(
            adapter, adapter.flattened_inputs, supported_ops=operators, **kwargs
        )[0]


def find_unused_parameters(model: nn.Module, inputs: Any) -> list[str]:
    """The names of the parameters that have no part in the loss; gradients are dropped.

    Args:
        model: in training mode, it returns a loss or a dict of losses.
        inputs: one argument, or a tuple of them.
    """
    assert model.training, "Parameters are used for losses: call model.train() first."
    model.zero_grad(set_to_none=True)
    losses = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    total = sum(losses.values()) if isinstance(losses, dict) else losses
    torch.as_tensor(total).backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    model.zero_grad(set_to_none=True)
    return unused


_wrapper_count_operators = unavailable(__name__, INTERNALS, "_wrapper_count_operators")

FLOPS_MODE, ACTIVATIONS_MODE = "flops", "activations"
