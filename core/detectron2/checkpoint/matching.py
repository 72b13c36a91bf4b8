"""Matching of weight names where a file holds a part of the model, such as its backbone."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch

__all__ = ["align_and_update_state_dicts"]


def _suffixes(name: str) -> Iterator[str]:
    """``a.b.c``, ``b.c``, ``c``."""
    while name:
        yield name
        name = name.partition(".")[2]


def _refuse_ambiguity(matches: Mapping[str, str]) -> None:
    """Raise where two names of the model have found the same name of the file."""
    users: dict[str, str] = {}
    for model_name, file_name in matches.items():
        first = users.setdefault(file_name, model_name)
        if first != model_name:
            raise ValueError(
                f"The checkpoint's '{file_name}' matches both '{first}' and '{model_name}' of the "
                "model: rename the checkpoint's entries to the model's full names."
            )


def align_and_update_state_dicts(
    model_state_dict: Mapping[str, torch.Tensor], ckpt_state_dict: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    """The checkpoint's state dict under the model's names.

    A checkpoint's entry belongs to the entry of the model whose name ends, after a dot, with the
    checkpoint's name: ``res2.0.conv1.weight`` to ``backbone.bottom_up.res2.0.conv1.weight``. Where
    several fit, the longest counts. Entries without partner, or with another shape than their
    partner's, keep their names.

    Raises:
        ValueError: one entry of the checkpoint fits two of the model.
    """
    logger = logging.getLogger(__name__)
    matches: dict[str, str] = {}
    for model_name, target in model_state_dict.items():
        found = next((name for name in _suffixes(model_name) if name in ckpt_state_dict), None)
        if found is None:
            continue
        shape = tuple(ckpt_state_dict[found].shape)
        if shape != tuple(target.shape):
            logger.warning(
                "'%s' of shape %s in the checkpoint is not loaded into '%s' of shape %s.",
                found,
                shape,
                model_name,
                tuple(target.shape),
            )
            continue
        matches[model_name] = found
    _refuse_ambiguity(matches)
    used = set(matches.values())
    aligned = {name: ckpt_state_dict[file_name] for name, file_name in matches.items()}
    aligned |= {name: value for name, value in ckpt_state_dict.items() if name not in used}
    renamed = sum(name != file_name for name, file_name in matches.items())
    logger.info(
        "%d of the checkpoint's %d entries fit the model, %d of them under a longer name.",
        len(matches),
        len(ckpt_state_dict),
        renamed,
    )
    return aligned
