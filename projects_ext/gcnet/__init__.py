"""GCNet: global context blocks in backbones and in a semantic head (arXiv 1904.11492)."""

from .config import add_gcnet_config
from .resnet import (
    ContextBasicBlock,
    ContextBottleneckBlock,
    ContextDeformBottleneckBlock,
    add_context,
    make_stages,
)
from .semantic_head import GCHead

__all__ = [
    "ContextBasicBlock",
    "ContextBottleneckBlock",
    "ContextDeformBottleneckBlock",
    "GCHead",
    "add_context",
    "add_gcnet_config",
    "make_stages",
]
