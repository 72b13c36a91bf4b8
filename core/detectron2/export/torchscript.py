"""TorchScript of modules that take and give ``Instances``, and its code as text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from detectron2.modeling.meta_arch import META_ARCH_REGISTRY
from detectron2.utils.file_io import PathManager  # noqa: F401
from detectron2.utils.unavailable import _refuse

from .torchscript_patch import freeze_training_mode, patch_instances

__all__ = ["dump_torchscript_IR", "scripting_with_instances"]


def scripting_with_instances(model: nn.Module, fields: Mapping[str, type]) -> Any:
    """Compile a module whose ``Instances`` have no other than these fields.

    Args:
        model: in evaluation mode; a part of a detector, such as ``RPN`` or ``StandardROIHeads``.
        fields: types by the fields' names, see :func:`patch_instances`.

    Returns:
        The compiled module. Its results are read by
        :func:`detectron2.utils.testing.convert_scripted_instances`.

    Raises:
        AssertionError: the module is in training mode.
        UnavailableError: it is a whole model.
    """
    if type(model).__name__ in META_ARCH_REGISTRY:
        _refuse("scripting_with_instances", "scripting of whole models")
    assert not model.training, "Only modules in evaluation mode can be scripted: call eval()"
    with freeze_training_mode(model), patch_instances(fields):
        return torch.jit.script(model)


export_torchscript_with_instances = scripting_with_instances
"""The older name of the same function."""


def dump_torchscript_IR(model: Any, dir: str) -> None:
    """Write what a scripted or traced model consists of to text files in a folder.

    Args:
        model: a scripted or traced module or function.
        dir: the folder, made where it does not exist. Files: ``model_ts_code.txt`` (code of each
            submodule), ``model_ts_IR.txt`` (their graphs), ``model_ts_IR_inlined.txt`` (one graph)
            and, of a module, ``model.txt`` (its structure).
    """
    Path(dir).mkdir(parents=True, exist_ok=True)
    is_module = isinstance(model, nn.Module)
    parts = dict(model.named_modules()) if is_module else {"": model}
    compiled = {name: part for name, part in parts.items() if hasattr(part, "graph")}
    texts = {
        "model_ts_code": "\n".join(f"# {name}\n{part.code}" for name, part in compiled.items()),
        "model_ts_IR": "\n".join(f"# {name}\n{part.graph}" for name, part in compiled.items()),
        "model_ts_IR_inlined": str(model.inlined_graph),
    }
    if is_module:
        texts["model"] = str(model)
    for name, text in texts.items():
        Path(dir, f"{name}.txt").write_text(text, encoding="utf-8")
