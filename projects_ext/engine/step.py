"""One training iteration, with mixed precision and gradient clipping where they are asked for."""

import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from detectron2.engine import HookBase, SimpleTrainer, TrainerBase
from detectron2.utils.events import get_event_storage


class PassOnAfterBackward(HookBase):
    """In the trainer of iterations: calls ``after_backward`` of the whole run's hooks, too."""

    def __init__(self, run: TrainerBase) -> None:
        self.run = weakref.proxy(run)

    def after_backward(self) -> None:
        """The gradients are there, and the weights are still the old ones."""
        self.run.after_backward()


class TrainStep(SimpleTrainer):
    """Detectron2's SimpleTrainer for any precision on any device.

    Upstream's AMPTrainer runs on CUDA alone. Checkpoints are the same as those of SimpleTrainer
    and AMPTrainer.

    Args:
        model: maps a batch to scalar losses by name.
        data_loader: endless batches.
        optimizer: of the model's parameters.
        amp_dtype: the forward pass runs under autocast in it; None: it does not. float16 has a
            gradient scaler, bfloat16 needs none.
        max_grad_norm: the gradient of all parameters together is scaled down to this norm, and
            ``grad_norm`` (before it is) recorded; 0: neither.
        grad_norm_type: which norm: 2, 1, ``inf``, ...
        accumulate: batches per update; it is made with the mean of their gradients. As in one large
            batch, except that what is normalized by the batch (batch normalization, losses over
            sampled proposals) is normalized by each of them.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[Any],
        optimizer: torch.optim.Optimizer,
        *,
        amp_dtype: torch.dtype | None = None,
        max_grad_norm: float = 0.0,
        grad_norm_type: float = 2.0,
        accumulate: int = 1,
    ) -> None:
        super().__init__(model, data_loader, optimizer)
        self.amp_dtype = amp_dtype
        self.max_grad_norm, self.grad_norm_type = max_grad_norm, grad_norm_type
        self.accumulate = accumulate
        self.device_type = next(model.parameters()).device.type
        self.grad_scaler = torch.amp.GradScaler(
            self.device_type, enabled=amp_dtype == torch.float16
        )

    def run_step(self) -> None:
        """Batches, forward, backward, metrics, clipping, update."""
        if not self.model.training:
            raise RuntimeError("a hook left the model in evaluation mode: call model.train() in it")
        self.optimizer.zero_grad()
        data_time = 0.0
        computed: list[Mapping[str, torch.Tensor]] = []
        for index in range(self.accumulate):
            begin = time.perf_counter()
            batch = next(self._data_loader_iter)
            data_time += time.perf_counter() - begin
            with self._gradients_shared(last=index + 1 == self.accumulate):
                computed.append(self._backward(batch))
        self.after_backward()
        # Raises where the loss is not finite, before the weights are touched.
        self._write_metrics(_means(computed), data_time)
        self._clip_gradient()
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _backward(self, batch: Any) -> Mapping[str, torch.Tensor]:
        losses = self.compute_losses(batch)
        total: Any = sum(losses.values())
        self.grad_scaler.scale(total / self.accumulate if self.accumulate > 1 else total).backward()
        return losses if self.accumulate == 1 else {k: v.detach() for k, v in losses.items()}

    def _gradients_shared(self, last: bool) -> AbstractContextManager[Any]:
        """Several processes exchange gradients once per update, in the last backward pass."""
        model = self.model
        if isinstance(model, DistributedDataParallel) and not last:
            return model.no_sync()
        return nullcontext()

    def compute_losses(self, batch: Any) -> Mapping[str, torch.Tensor]:
        """The model's losses by name, in the precision that was asked for."""
        enabled = self.amp_dtype is not None
        with torch.autocast(self.device_type, dtype=self.amp_dtype, enabled=enabled):
            losses = self.model(batch)
        return {"total_loss": losses} if isinstance(losses, torch.Tensor) else losses

    def _clip_gradient(self) -> None:
        if not self.max_grad_norm:
            return
        self.grad_scaler.unscale_(self.optimizer)
        parameters = [
            parameter for group in self.optimizer.param_groups for parameter in group["params"]
        ]
        norm = nn.utils.clip_grad_norm_(parameters, self.max_grad_norm, self.grad_norm_type)
        get_event_storage().put_scalar("grad_norm", float(norm), cur_iter=self.iter)

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state, and the gradient scaler's if there is one."""
        scaler = self.grad_scaler.state_dict()
        return {**super().state_dict(), **({"grad_scaler": scaler} if scaler else {})}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned, also from a run in another precision."""
        super().load_state_dict(state_dict)
        if self.grad_scaler.is_enabled() and state_dict.get("grad_scaler"):
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])


def _means(computed: Sequence[Mapping[str, torch.Tensor]]) -> Mapping[str, torch.Tensor]:
    """The mean of each loss; a batch without it counts as zero, as in the sum of the gradients."""
    if len(computed) == 1:
        return computed[0]
    names = dict.fromkeys(name for losses in computed for name in losses)
    return {
        name: torch.stack([losses[name] for losses in computed if name in losses]).sum()
        / len(computed)
        for name in names
    }
