"""Whether the numbers in a file can be the weights of a model."""

from collections.abc import Mapping

import torch
from torch import Tensor

from .key_map import COUNTER

_VARIANCE = "running_var"


def require_usable_values(
    entries: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str
) -> None:
    """Refuse values that the model's entries cannot have, before any is written into it.

    Args:
        entries: the model's names -> the file's tensors, of any shape.
        state: the model's state dict.
        source: the file, for messages.

    Raises:
        ValueError: tensors of integers, booleans or complex numbers where the model has
            floating-point numbers, or the reverse; NaN and infinite values; negative variances.
            The message gives the number of entries and the first one.
    """
    _require_kinds(entries, state, source)
    broken = {name: count for name, x in entries.items() if (count := _not_finite(x, state[name]))}
    if broken:
        name, count = next(iter(broken.items()))
        raise ValueError(
            f"{source} has NaN or infinite values in {_entries(len(broken))}, such as {name} "
            f"({count} of its {entries[name].numel()}): take an earlier checkpoint or other weights"
        )
    negative = [
        name
        for name, value in entries.items()
        if name.endswith(_VARIANCE)
        and value.shape == state[name].shape
        and value.numel()
        and value.min() < 0
    ]
    if negative:
        raise ValueError(
            f"{source} has negative variances in {_entries(len(negative))}, such as "
            f"{negative[0]}: the file is damaged; copy or download it again, or take other weights"
        )


def require_finite_state(state: object, source: str) -> None:
    """Refuse a training state (of an optimizer, of an average) with NaN or infinite tensors.

    Args:
        state: nested dictionaries, lists and tuples; only tensors in them are looked at.
        source: the file, for messages.

    Raises:
        ValueError: with the place of the first one.
    """
    broken = [place for place, value in _tensors(state, "") if _not_finite(value, value)]
    if broken:
        raise ValueError(
            f"{source} has NaN or infinite values in {_entries(len(broken))} of its training "
            f"state, such as {broken[0]}: resume from an earlier checkpoint, by writing its name "
            "into the file last_checkpoint"
        )


def _require_kinds(entries: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    other = [
        name
        for name, value in entries.items()
        if not name.endswith(COUNTER) and _kind(value.dtype) != _kind(state[name].dtype)
    ]
    if other:
        name = other[0]
        raise ValueError(
            f"{source} has numbers of another kind than the model in {_entries(len(other))}, such "
            f"as {name} ({_kind(entries[name].dtype)}, the model has "
            f"{_kind(state[name].dtype)}): give weights in floating point"
        )


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_complex:
        return "complex numbers"
    if dtype.is_floating_point:
        return "floating-point numbers"
    return "booleans" if dtype == torch.bool else "integers"


def _not_finite(value: Tensor, own: Tensor) -> int:
    """How many values are NaN or infinite, or become so in the model's type."""
    # Other shapes are refused elsewhere; looking at them could take any time.
    if not value.is_floating_point() or value.shape != own.shape:
        return 0
    # The sum tells whether there are any, in one pass and without a copy.
    if value.dtype == own.dtype and value.sum(dtype=torch.float64).isfinite():
        return 0
    return int((~value.to(own.dtype).isfinite()).sum())


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _tensors(value: object, place: str) -> list[tuple[str, Tensor]]:
    """All tensors in nested containers, each with the keys that lead to it."""
    if isinstance(value, Tensor):
        return [(place, value)]
    if isinstance(value, Mapping):
        parts = list(value.items())
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    else:
        return []
    return [found for key, part in parts for found in _tensors(part, f"{place}.{key}".lstrip("."))]
