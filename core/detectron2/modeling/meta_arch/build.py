"""From the config key ``MODEL.META_ARCHITECTURE`` to a whole model."""

import torch
from fvcore.common.registry import Registry
from torch import nn

from detectron2.config import CfgNode
from detectron2.utils.logger import _log_api_usage  # noqa: F401

META_ARCH_REGISTRY = Registry("META_ARCH")
META_ARCH_REGISTRY.__doc__ = """
Whole models, made by ``architecture(cfg)`` and found by their name.
"""


def build_model(cfg: CfgNode) -> nn.Module:
    """Build the model that ``cfg.MODEL.META_ARCHITECTURE`` names, on ``cfg.MODEL.DEVICE``.

    The weights are random: load a checkpoint with ``detectron2.checkpoint``.
    """
    architecture = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    return architecture(cfg).to(torch.device(cfg.MODEL.DEVICE))
