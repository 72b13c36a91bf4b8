"""Whether a program is being recorded: then layers take the ways that every runtime knows."""

import torch


def exporting() -> bool:
    """Whether `torch.export` or an ONNX exporter is recording.

    Programs then need standard operators, and no steps that depend on what is fastest here.
    """
    return torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()


def recording() -> bool:
    """The same, or `torch.jit.trace`: what converters read from traces loses writes into views."""
    return exporting() or torch.jit.is_tracing()
