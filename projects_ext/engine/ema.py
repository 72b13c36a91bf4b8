"""An exponential moving average of the weights (EMA), which is what gets evaluated."""

import logging
from collections.abc import Mapping

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from detectron2.engine import HookBase
from projects_ext.checkpoint import Weights
from projects_ext.checkpoint.sources import read_content

from .parallel import unwrapped

logger = logging.getLogger("detectron2.projects_ext")

# Under this name a checkpoint holds the average's state.
CHECKPOINT_KEY = "ema"


class AveragingRule:
    """``average = decay * average + (1 - decay) * weight``, with a smaller decay to begin with.

    After n updates the decay is at most (1 + n) / (10 + n): a short run's average would otherwise
    consist of its first weights. What is no floating-point number (BN counts its batches) is
    copied.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    @torch.no_grad()
    def __call__(
        self,
        averages: tuple[torch.Tensor, ...] | list[torch.Tensor],
        weights: tuple[torch.Tensor, ...] | list[torch.Tensor],
        updates: torch.Tensor | int,
    ) -> None:
        """Update ``averages``, all of one device and type, in place."""
        if averages[0].is_floating_point():
            count = int(updates)
            decay = min(self.decay, (1 + count) / (10 + count))
            torch._foreach_lerp_(averages, weights, 1 - decay)
        else:
            torch._foreach_copy_(averages, weights)


def averaged_copy(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``model`` that will hold the average; its first update takes the weights as such.

    BN's running statistics are averaged like the weights they belong to.
    """
    average = AveragedModel(model, multi_avg_fn=AveragingRule(decay), use_buffers=True)
    return average.requires_grad_(False).eval()


class AverageWeights(HookBase):
    """Updates the average after each iteration. Register it before checkpoints and evaluation.

    Args:
        average: of :func:`averaged_copy`.
        model: the one that is trained, in a DistributedDataParallel or not.
    """

    def __init__(self, average: AveragedModel, model: nn.Module) -> None:
        self.average = average
        self.model = unwrapped(model)

    def after_step(self) -> None:
        """Take the new weights into the average."""
        self.average.update_parameters(self.model)


def averaged_weights(checkpoint: str, trust: bool = False) -> Weights | None:
    """The average that a checkpoint of a run with averaging holds, as a source of weights.

    It is to be loaded as the plain weights are, classes in another order included.

    Args:
        checkpoint: a path or an address.
        trust: let the file run the code in it.

    Returns:
        None for a checkpoint without one (weights from elsewhere); the log says so.
    """
    content, remarks = read_content(checkpoint, trust)
    state = content.get(CHECKPOINT_KEY) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        logger.info(f"No averaged weights in {checkpoint}: its plain weights are evaluated")
        return None
    others = {key: value for key, value in content.items() if key not in (CHECKPOINT_KEY, "model")}
    logger.info(f"Averaged weights of {checkpoint}, after {int(state['n_averaged'])} updates")
    source = f"{checkpoint} (its averaged weights)"
    return Weights(source, model_entries(state), others, "model", remarks)


def model_entries(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The averaged model's entries in the state of an ``AveragedModel``, under their own names."""
    prefix = "module."
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
