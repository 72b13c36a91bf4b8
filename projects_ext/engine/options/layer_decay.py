"""Layer-wise learning rate decay: early layers of the backbone learn more slowly.

Clark et al., "ELECTRA" (arXiv 2003.10555), appendix A; here a layer is a stage of the ResNet, as in
Howard and Ruder, "Universal Language Model Fine-tuning" (arXiv 1801.06146), section 3.2.
"""

import logging
import re
from typing import Any

import torch
from torch import nn

from projects_ext.errors import UserError

logger = logging.getLogger("detectron2.projects_ext")

KEYS = "train.layer_decay (YAML: SOLVER.LAYER_DECAY)"
STAGES = ("stem", "res2", "res3", "res4", "res5")
_STAGE = re.compile(rf"(?:^|\.)({'|'.join(STAGES)})\.")


def decay_by_layer(optimizer: torch.optim.Optimizer, model: nn.Module, rate: float) -> None:
    """Multiply the learning rate of the backbone's stages by powers of ``rate``.

    ``res5`` gets ``rate``, ``res4`` ``rate ** 2``, ... and the stem ``rate ** 5``; everything else
    keeps its learning rate. Groups that mix stages are divided.

    Args:
        optimizer: new, without state; its parameter groups are replaced.
        model: whose parameters it has.
        rate: above 0, at most 1; 1 changes nothing.

    Raises:
        UserError: no trained parameter belongs to a stage of a ResNet.
    """
    if rate == 1:
        return
    powers = {id(parameter): _power(name) for name, parameter in model.named_parameters()}
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        by_power: dict[int, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_power.setdefault(powers.get(id(parameter), 0), []).append(parameter)
        for power, parameters in sorted(by_power.items()):
            groups.append({**group, "params": parameters, "lr": group["lr"] * rate**power})
    if not any(powers.get(id(group["params"][0]), 0) for group in groups):
        raise UserError(
            f"{KEYS} is {rate}, but no trained parameter lies in a stage of a ResNet "
            f"({', '.join(STAGES)}): set it to 1"
        )
    optimizer.param_groups[:] = groups
    rates = ", ".join(f"{stage} {rate ** (5 - index):.3g}" for index, stage in enumerate(STAGES))
    logger.info(f"Learning rates of the backbone, as shares of the others: {rates}")


def _power(name: str) -> int:
    stage = _STAGE.search(name)
    return len(STAGES) - STAGES.index(stage[1]) if stage else 0
