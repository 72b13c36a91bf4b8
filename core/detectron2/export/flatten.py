"""Nested inputs and outputs as flat tuples of tensors, which ``torch.jit.trace`` is limited to."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from detectron2.structures import Boxes, Instances, ROIMasks
from detectron2.utils.registry import _convert_target_to_string, locate  # noqa: F401
from detectron2.utils.unavailable import INTERNALS, unavailable

from .torchscript_patch import patch_builtin_len  # noqa: F401

__all__ = ["Schema", "TracingAdapter", "flatten_to_tuple"]

_WRAPPERS = (Boxes, ROIMasks)


@dataclass(frozen=True)
class Schema:
    """How to build an object from its leaves: call it with them. Equal ones mean equal structure.

    Attributes:
        kind: "leaf", "list", "tuple", "dict", "Instances", or the full name of a tensor's wrapper.
        parts: the schemas of its items, in the order of their leaves.
        keys: of a dict or of Instances, sorted.
    """

    kind: str
    parts: tuple[Schema, ...] = ()
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Of a saved schema they are lists.
        for name in ("parts", "keys"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def num_leaves(self) -> int:
        """How many leaves it is called with."""
        return 1 if self.kind == "leaf" else sum(part.num_leaves for part in self.parts)

    def __call__(self, values: Sequence[Any]) -> Any:
        """The object whose leaves are ``values``.

        Raises:
            ValueError: their number is wrong.
        """
        if len(values) != self.num_leaves:
            raise ValueError(f"{self.num_leaves} values are needed, not {len(values)}.")
        if self.kind == "leaf":
            return values[0]
        items, start = [], 0
        for part in self.parts:
            items.append(part(values[start : start + part.num_leaves]))
            start += part.num_leaves
        return self._build(items)

    def _build(self, items: list[Any]) -> Any:
        if self.kind == "Instances":
            *fields, size = items
            # While tracing the size has to stay a tensor, for the graph to serve other sizes.
            known = size if torch.jit.is_tracing() else tuple(torch.as_tensor(size).tolist())
            return Instances(known, **dict(zip(self.keys, fields, strict=True)))
        if self.kind == "dict":
            return dict(zip(self.keys, items, strict=True))
        if self.kind in ("list", "tuple"):
            return items if self.kind == "list" else tuple(items)
        module, _, name = self.kind.rpartition(".")
        return getattr(importlib.import_module(module), name)(items[0])


def flatten_to_tuple(obj: Any) -> tuple[tuple[Any, ...], Schema]:
    """The leaves of an object, and the schema that builds it from them again.

    Args:
        obj: lists, tuples, dicts with string keys, ``Instances``, ``Boxes`` and ``ROIMasks`` in
            any nesting; everything else is a leaf. The size of Instances becomes a tensor.

    Raises:
        KeyError: a key of a dict is not a string.
    """
    if isinstance(obj, (list, tuple)):
        return _flatten_all("list" if isinstance(obj, list) else "tuple", obj)
    if isinstance(obj, _WRAPPERS):
        return _flatten_all(f"{type(obj).__module__}.{type(obj).__qualname__}", [obj.tensor])
    if isinstance(obj, Mapping):
        wrong = [key for key in obj if not isinstance(key, str)]
        if wrong:
            raise KeyError(f"Keys of a dict have to be strings for tracing, not {wrong[0]!r}.")
        keys = tuple(sorted(obj))
        return _flatten_all("dict", [obj[key] for key in keys], keys)
    if isinstance(obj, Instances):
        fields = obj.get_fields()
        keys = tuple(sorted(fields))
        values = [fields[key] for key in keys]
        return _flatten_all("Instances", [*values, torch.as_tensor(obj.image_size)], keys)
    return (obj,), Schema("leaf")


def _flatten_all(
    kind: str, items: Sequence[Any], keys: tuple[str, ...] = ()
) -> tuple[tuple[Any, ...], Schema]:
    pairs = [flatten_to_tuple(item) for item in items]
    leaves = tuple(leaf for values, _ in pairs for leaf in values)
    return leaves, Schema(kind, tuple(schema for _, schema in pairs), keys)


class TracingAdapter(nn.Module):
    """A model as a function from tensors to tensors, for ``torch.jit.trace``::

        adapter = TracingAdapter(model, inputs)
        traced = torch.jit.trace(adapter, adapter.flattened_inputs)
        outputs = adapter.outputs_schema(traced(*adapter.flattened_inputs))

    Attributes:
        flattened_inputs: the tensors of the inputs it was made with.
        inputs_schema: builds inputs from tensors; None where the inputs have other leaves.
        outputs_schema: the same for outputs, known after a call.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        inference_func: Callable[..., Any] | None = None,
        allow_non_tensor: bool = False,
    ) -> None:
        """
        Args:
            model: any module; out of a wrapper for parallel training it is taken.
            inputs: one argument of the model, or a tuple of all.
            inference_func: called as ``inference_func(model, *inputs)``, to call the model in
                another way.
            allow_non_tensor: keep leaves of the inputs that are not tensors as constants, and drop
                those of the outputs. The adapter itself then takes ``flattened_inputs`` alone.

        Raises:
            ValueError: the inputs have such leaves and ``allow_non_tensor`` is False.
        """
        super().__init__()
        wrappers = (nn.parallel.DistributedDataParallel, nn.DataParallel)
        self.model = model.module if isinstance(model, wrappers) else model
        self.inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        self.inference_func, self.allow_non_tensor = inference_func, allow_non_tensor
        leaves, schema = flatten_to_tuple(self.inputs)
        self.flattened_inputs = self._only_tensors(leaves, "inputs")
        complete = len(self.flattened_inputs) == len(leaves)
        self.inputs_schema: Schema | None = schema if complete else None
        self.outputs_schema: Any = None

    def _only_tensors(self, leaves: Sequence[Any], what: str) -> tuple[Tensor, ...]:
        others = [leaf for leaf in leaves if not isinstance(leaf, Tensor)]
        if others and not self.allow_non_tensor:
            raise ValueError(
                f"The {what} of a traced model must only contain tensors, not a "
                f"{type(others[0]).__name__}: leave it out, or set allow_non_tensor."
            )
        return tuple(leaf for leaf in leaves if isinstance(leaf, Tensor))

    def forward(self, *args: Tensor) -> tuple[Tensor, ...]:
        """Run the model, without gradients, on the inputs that have the tensors ``args``.

        Raises:
            ValueError: other tensors than those it was made with, and their constants may not fit.
        """
        own = self.flattened_inputs
        if self.inputs_schema is not None:
            inputs = self.inputs_schema(args)
        elif len(args) == len(own) and all(x is y for x, y in zip(args, own, strict=True)):
            inputs = self.inputs
        else:
            raise ValueError(
                "A TracingAdapter of inputs with constants cannot generalize to other inputs: call "
                "it with its flattened_inputs, or make another one."
            )
        with torch.no_grad():
            if self.inference_func is None:
                outputs = self.model(*inputs)
            else:
                outputs = self.inference_func(self.model, *inputs)
        flat, schema = flatten_to_tuple(outputs)
        result = self._only_tensors(flat, "outputs")
        complete = len(result) == len(flat)
        assert self.outputs_schema in (None, schema) or not complete, (
            "The structure of the model's outputs differs from that of the previous call."
        )
        self.outputs_schema = schema if complete else None
        return result

    def _create_wrapper(self, traced_model: Callable[..., Any]) -> Callable[..., Any]:
        """The traced model, called with and answering what the original one is and does."""

        def call(*args: Any) -> Any:
            return self.outputs_schema(traced_model(*flatten_to_tuple(args)[0]))

        return call


(
    DictSchema, IdentitySchema, InstancesSchema, ListSchema, TensorWrapSchema, TupleSchema,
) = unavailable(
    __name__, INTERNALS,
    "DictSchema IdentitySchema InstancesSchema ListSchema TensorWrapSchema TupleSchema",
)  # fmt: skip
