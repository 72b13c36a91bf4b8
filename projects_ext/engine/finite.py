"""A loss that is infinite or NaN: which term, when, and on which images."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from detectron2.engine import HookBase
from projects_ext.errors import NonFiniteError

REMEDY = (
    "lower the learning rate (optimizer.lr; YAML: SOLVER.BASE_LR), warm up for longer or clip the "
    "gradient, look at these images and their annotations, and go on from the last checkpoint with "
    "--resume"
)


class FiniteLosses(HookBase):
    """Raises before the weights are touched if a loss of this process is not finite.

    Register it in the inner trainer (``SimpleTrainer``), whose ``after_backward`` comes between the
    gradients and the update. The values are read once a step, when the trainer needs them anyway.

    Args:
        model: maps a batch to scalar losses by name, or to one scalar.
        loader: of the batches; if it has ``files``, they are named.
    """

    def __init__(self, model: nn.Module, loader: Any) -> None:
        self._loader = loader
        self._losses: dict[str, torch.Tensor] = {}
        self._files: list[str] = []
        model.register_forward_pre_hook(self._remember_files)
        model.register_forward_hook(self._remember)

    def _remember_files(self, model: nn.Module, inputs: Any) -> None:
        self._files += getattr(self._loader, "files", [])

    def _remember(self, model: nn.Module, inputs: Any, output: Any) -> None:
        if model.training:
            losses = output if isinstance(output, Mapping) else {"total_loss": output}
            for name, loss in losses.items():
                if isinstance(loss, torch.Tensor) and loss.numel() == 1:
                    # What is not finite in one of several batches is not finite in the sum either.
                    self._losses[name] = self._losses.get(name, 0.0) + loss.detach()

    def after_backward(self) -> None:
        """Look at the losses of this iteration.

        Raises:
            NonFiniteError: with the terms, the iteration and the images' files.
        """
        losses, self._losses = self._losses, {}
        if not losses:
            return
        stacked = torch.stack([loss.float().reshape(()) for loss in losses.values()])
        *values, total = torch.cat((stacked, stacked.sum()[None])).tolist()
        if math.isfinite(total):
            return
        broken = [
            f"{name} is {value}"
            for name, value in zip(losses, values, strict=True)
            if not math.isfinite(value)
        ]
        raise NonFiniteError(self.describe(" and ".join(broken) or f"total_loss is {total}"))

    def describe(self, what: str) -> str:
        """``what`` with the iteration, this process's images and the remedy."""
        files = self._files or getattr(self._loader, "files", [])
        images = f", with the images {', '.join(files)}" if files else ""
        return f"{what} in iteration {self.trainer.iter}{images}: {REMEDY}"

    @contextmanager
    def named(self) -> Iterator[None]:
        """Within (an iteration), whatever else says that numbers are not finite is named as well.

        Detectron2's proposal generators, for instance, look at what they predict.
        """
        # What has been computed outside of iterations, such as validation losses, does not count.
        self._losses, self._files = {}, []
        try:
            yield
        except NonFiniteError:
            raise
        except FloatingPointError as error:
            text = str(error).split("\n")[0].rstrip(".!")
            raise NonFiniteError(self.describe(f'training has diverged ("{text}")')) from error
