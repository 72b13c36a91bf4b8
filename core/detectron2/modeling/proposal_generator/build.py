"""Registry of proposal generators."""

from torch import nn

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.utils.registry import Registry

PROPOSAL_GENERATOR_REGISTRY = Registry("PROPOSAL_GENERATOR")
PROPOSAL_GENERATOR_REGISTRY.__doc__ = """
Classes that turn features into proposals. An entry is called as ``entry(cfg, input_shape)`` and
gives a module that is called as ``module(images, features, gt_instances)``.
"""


def build_proposal_generator(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module | None:
    """The generator that ``cfg.MODEL.PROPOSAL_GENERATOR.NAME`` asks for.

    Args:
        cfg: the whole YAML config.
        input_shape: feature name -> its channels and stride.

    Returns:
        the module, or None for ``"PrecomputedProposals"``, where proposals come with the data.
    """
    chosen = cfg.MODEL.PROPOSAL_GENERATOR.NAME
    if chosen == "PrecomputedProposals":
        return None
    return PROPOSAL_GENERATOR_REGISTRY.get(chosen)(cfg, input_shape)
