"""Comparison with the installed PyTorch's version."""

import torch
from packaging.version import Version

__all__ = ["min_torch_version"]


def min_torch_version(min_version: str) -> bool:
    """Whether PyTorch is at least ``min_version``; a local part such as "+cu126" is ignored."""
    return Version(torch.__version__.partition("+")[0]) >= Version(min_version)
