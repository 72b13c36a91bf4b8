"""GCNet: global context blocks in backbones (arXiv 1904.11492)."""

from .config import add_gcnet_config
from .resnet import (
    ContextBasicBlock,
    ContextBottleneckBlock,
    ContextDeformBottleneckBlock,
    add_context,
    make_stages,
)

__all__ = [
    "ContextBasicBlock",
    "ContextBottleneckBlock",
    "ContextDeformBottleneckBlock",
    "add_context",
    "add_gcnet_config",
    "make_stages",
]
