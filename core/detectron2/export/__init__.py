"""What tracing needs: models on plain tensors."""

from typing import Any

from .api import Caffe2Model, Caffe2Tracer
from .flatten import TracingAdapter
from .torchscript import dump_torchscript_IR, scripting_with_instances

__all__ = [
    "Caffe2Model",
    "Caffe2Tracer",
    "TracingAdapter",
    "add_export_config",
    "dump_torchscript_IR",
    "scripting_with_instances",
]

STABLE_ONNX_OPSET_VERSION = 11
"""The ONNX version that upstream exports for."""


def add_export_config(cfg: Any) -> Any:
    """``cfg`` itself: nothing has to be added any more."""
    return cfg
