"""Tensors from the pickles in PyTorch's files, made in the one way in which PyTorch saves them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .plain_arrays import Held, RefusedError, SizeError

UNTYPED = Held(None, "torch.UntypedStorage")
"""In the place of ``torch.UntypedStorage``, where it is named; it is never called."""


def tensor_makers() -> dict[str, Callable[..., Any]]:
    """What pickled tensors are made with: full name -> function."""
    return {
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_of_type,
        "torch._utils._rebuild_parameter": _parameter,
    }


def storage_size(saved: tuple[Any, ...]) -> int:
    """The bytes that a storage claims to have.

    Args:
        saved: how pickles of torch refer to a storage: a word, type, key, device, length.

    Raises:
        RefusedError: it is no such reference.
    """
    kind, length = saved[1], saved[4] if len(saved) > 4 else None
    dtype = torch.uint8 if kind is UNTYPED else getattr(kind, "dtype", None)
    if saved[0] not in ("storage", b"storage") or type(length) is not int or length < 0:
        raise RefusedError("it refers to something that is no storage")
    if not isinstance(dtype, torch.dtype):
        raise RefusedError(f"it holds tensors of a kind that is not read ({kind})")
    return length * dtype.itemsize


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *further: Any) -> Held:
    """Gradients and hooks, which follow, do not matter."""
    return Held(_view(storage, None, offset, size, stride))


def _tensor_of_type(
    storage: Any, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any, dtype: Any,
    *further: Any,
) -> Held:  # fmt: skip
    """For types without a storage class of their own."""
    if not isinstance(dtype, torch.dtype):
        raise RefusedError("it holds a tensor without a type")
    return Held(_view(storage, dtype, offset, size, stride))


def _parameter(data: Any, *further: Any) -> Any:
    if not isinstance(data, Held) or not isinstance(data.value, Tensor):
        raise RefusedError("it holds a parameter that is no tensor")
    return data


def _view(storage: Any, dtype: torch.dtype | None, offset: Any, size: Any, stride: Any) -> Tensor:
    """The tensor of that shape within the storage."""
    held = storage.value if isinstance(storage, Held) else None
    if not isinstance(held, torch.storage.TypedStorage | torch.UntypedStorage):
        raise RefusedError("it holds a tensor without a storage")
    untyped = held if isinstance(held, torch.UntypedStorage) else held._untyped_storage
    if dtype is None:
        dtype = torch.uint8 if isinstance(held, torch.UntypedStorage) else held.dtype
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(x) is int and x >= 0 for x in numbers):
        raise RefusedError("it holds a tensor of an impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    available = untyped.nbytes() // dtype.itemsize
    if 0 not in size and last >= available:
        raise SizeError(f"a tensor of {last + 1} values, by its shape, has {available}")
    if 0 in size:
        return torch.empty(tuple(size), dtype=dtype)
    return torch.empty(0, dtype=dtype).set_(untyped, offset, tuple(size), tuple(stride))
