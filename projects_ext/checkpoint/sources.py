"""From a path, an address or a state dict to named tensors."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models import get_model_weights, list_models

from detectron2.utils.file_io import PathManager

from .files import read_with_remarks
from .key_map import Weights

Source = str | Path | Mapping[str, Any] | Weights

TORCHVISION_SCHEME = "torchvision://"
_BY_SUFFIX = "?matching_heuristics=True"
"""Detectron2's way to ask for names to be completed; it is done here wherever it is needed."""

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "blobs")
"""Where state dicts are kept. timm evaluates the average of the weights, if there is one."""


def read_weights(source: Source, trust: bool = False) -> Weights:
    """The named tensors of a source, out of their wrappers.

    Args:
        source: a path, an address that PathManager knows, ``torchvision://<model>`` or
            ``torchvision://<model>.<weights>``, a state dict, a checkpoint that holds one, or
            weights that have been read.
        trust: see :func:`~projects_ext.checkpoint.files.read_file`.

    Raises:
        FileNotFoundError, ValueError: nothing there, or no weights in it.
    """
    if isinstance(source, Weights):
        return source
    if isinstance(source, Mapping):
        return _unwrap(source, "the state dict")
    content, remarks = read_content(source, trust)
    weights = _unwrap(content, str(source).removesuffix(_BY_SUFFIX))
    return replace(weights, remarks=[*remarks, *weights.remarks])


def read_content(source: str | Path, trust: bool = False) -> tuple[Any, list[str]]:
    """The whole content of a weight file, and what was left out of it.

    Args:
        source: a path or an address, as for :func:`read_weights`.
        trust: see :func:`~projects_ext.checkpoint.files.read_file`.

    Raises:
        FileNotFoundError, ValueError: nothing there, or it cannot be read.
    """
    address = str(source)
    if address.startswith(TORCHVISION_SCHEME):
        return _from_torchvision(address), []
    path = address.removesuffix(_BY_SUFFIX)
    try:
        local = PathManager.get_local_path(path)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be fetched ({error}): check the address and the network, or download "
            "the file elsewhere and give its path"
        ) from error
    return read_with_remarks(local, trust)


def _from_torchvision(address: str) -> Mapping[str, Any]:
    """torchvision's weights, downloaded into its cache; the first published ones by default."""
    name, _, version = address.removeprefix(TORCHVISION_SCHEME).partition(".")
    try:
        choices = get_model_weights(name)
    except ValueError as error:
        near = difflib.get_close_matches(name, list_models(), n=3)
        meant = f"did you mean {' or '.join(near)}?" if near else "see torchvision's documentation"
        raise ValueError(f"torchvision has no model '{name}' ({address}): {meant}") from error
    # Published detectors start from the first version, where `DEFAULT` is the newest.
    version = version or next(iter(choices)).name
    if version not in choices.__members__:
        raise ValueError(
            f"torchvision has no weights '{version}' of {name} ({address}): choose "
            f"{' or '.join(choices.__members__)}"
        )
    try:
        return choices[version].get_state_dict(
            progress=False, map_location="cpu", weights_only=True, check_hash=True
        )
    except OSError as error:
        raise ValueError(
            f"{address} cannot be downloaded ({error}): check the network, or download "
            f"{choices[version].url} elsewhere and give its path"
        ) from error


def _unwrap(content: Any, source: str) -> Weights:
    """Find the state dict in what a file holds."""
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{source} holds a {type(content).__name__} and no weights by name: give a checkpoint "
            "or a state dict"
        )
    wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), Mapping)), "")
    state = content[wrapper] if wrapper else content
    others = {key: value for key, value in content.items() if key != wrapper} if wrapper else {}
    entries = {str(name): _tensor(value) for name, value in state.items() if _is_array(value)}
    if not entries:
        keys = ", ".join(str(key) for key in list(state)[:5]) or "nothing"
        raise ValueError(f"{source} is a file without weights: it holds {keys}; give another file")
    if all(name.startswith("module.") for name in entries):
        entries = {name.removeprefix("module."): value for name, value in entries.items()}
    averaged = wrapper.endswith("_ema")
    remarks = ["the average of the weights is read, not their last values"] if averaged else []
    return Weights(source, entries, others, wrapper, remarks)


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _tensor(value: Tensor | np.ndarray) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
