"""The training loop, the hooks around it, and the two trainers that fill it."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DataParallel

from detectron2.utils import comm
from detectron2.utils.events import (
    EventStorage,  # noqa: F401
    get_event_storage,
)
from detectron2.utils.logger import _log_api_usage  # noqa: F401

from ._loop import HookBase, TrainerBase

__all__ = ["AMPTrainer", "HookBase", "SimpleTrainer", "TrainerBase"]


class SimpleTrainer(TrainerBase):
    """One model, one optimizer, one data loader; per iteration one batch and one update.

    The model maps a batch to a dict of scalar losses, whose sum is minimised, or to one scalar.

    Args:
        model: is set to training mode.
        data_loader: an iterable of batches that does not end.
        optimizer: a torch optimizer of the model's parameters.
        gather_metric_period: gather the losses of all processes every so many iterations. Each
            time waits for the device, so a higher value can be faster.
        zero_grad_before_forward: clear the gradients before the forward pass instead of before
            the backward pass. It saves memory, but then they are not there during the forward.
        async_write_metrics: gather in a thread of its own. A non-finite loss is then noticed one
            or more iterations later.
    """

    def __init__(
        self, model: nn.Module, data_loader: Iterable[Any], optimizer: torch.optim.Optimizer,
        gather_metric_period: int = 1, zero_grad_before_forward: bool = False,
        async_write_metrics: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        # The model may have been left in evaluation mode; its losses need training mode.
        model.train()
        self.model, self.optimizer, self.data_loader = model, optimizer, data_loader
        self._data_loader_iter_obj: Iterator[Any] | None = None
        self.zero_grad_before_forward = zero_grad_before_forward
        self.gather_metric_period = gather_metric_period
        self.async_write_metrics = async_write_metrics
        # One worker, so that collectives keep the same order in every process.
        self.concurrent_executor = ThreadPoolExecutor(max_workers=1)
        self._pending_metrics: list[Future[None]] = []

    def run_step(self) -> None:
        """Forward, backward, metrics, update."""
        batch, data_time = self._next_batch()
        loss_dict, total_loss = self._compute_losses(batch)
        total_loss.backward()
        self.after_backward()
        self._report(loss_dict, data_time)
        # Gradient clipping or scaling belongs into the optimizer: wrap it to have either.
        self.optimizer.step()

    def _next_batch(self) -> tuple[Any, float]:
        """The next batch, and the seconds it took to get it."""
        if not self.model.training:
            raise RuntimeError(
                f"{type(self).__name__}: the model is in evaluation mode; a hook or an evaluation "
                "left it so. Call model.train() after it."
            )
        begin = time.perf_counter()
        batch = next(self._data_loader_iter)
        return batch, time.perf_counter() - begin

    def _compute_losses(self, batch: Any) -> tuple[Mapping[str, torch.Tensor], torch.Tensor]:
        """The model's losses by name, and their sum; afterwards the gradients are clear."""
        if self.zero_grad_before_forward:
            self.optimizer.zero_grad()
        losses = self.model(batch)
        if not self.zero_grad_before_forward:
            self.optimizer.zero_grad()
        if isinstance(losses, torch.Tensor):
            return {"total_loss": losses}, losses
        return losses, sum(losses.values())

    @property
    def _data_loader_iter(self) -> Iterator[Any]:
        # Only made when needed: a DataLoader's iterator starts its worker processes.
        if self._data_loader_iter_obj is None:
            self._data_loader_iter_obj = iter(self.data_loader)
        return self._data_loader_iter_obj

    def reset_data_loader(self, data_loader_builder: Callable[[], Iterable[Any]]) -> None:
        """Replace the data loader by ``data_loader_builder()``, after letting go of the old one."""
        self._data_loader_iter_obj = None
        del self.data_loader
        self.data_loader = data_loader_builder()

    def _report(self, loss_dict: Mapping[str, torch.Tensor], data_time: float) -> None:
        """Write this iteration's metrics, here or in the thread."""
        if not self.async_write_metrics:
            self._write_metrics(loss_dict, data_time)
            return
        self._raise_from_thread(wait=False)
        detached = {name: loss.detach() for name, loss in loss_dict.items()}
        self._pending_metrics.append(
            self.concurrent_executor.submit(
                self._write_metrics, detached, data_time, iter=self.iter
            )
        )

    def _raise_from_thread(self, wait: bool) -> None:
        """Raise what the metrics thread raised; with ``wait``, once all of its work is done."""
        pending = self._pending_metrics
        while pending and (wait or pending[0].done()):
            error = pending.pop(0).exception()
            if error is not None:
                pending.clear()  # the first one tells what went wrong
                raise error

    def _write_metrics(
        self,
        loss_dict: Mapping[str, torch.Tensor],
        data_time: float,
        prefix: str = "",
        iter: int | None = None,
    ) -> None:
        """:meth:`write_metrics` in every ``gather_metric_period``-th iteration."""
        iteration = self.iter if iter is None else iter
        if (iteration + 1) % self.gather_metric_period == 0:
            self.write_metrics(loss_dict, data_time, iteration, prefix)

    @staticmethod
    def write_metrics(
        loss_dict: Mapping[str, torch.Tensor], data_time: float, cur_iter: int, prefix: str = ""
    ) -> None:
        """Put the losses, averaged over the processes, and the data time into the event storage.

        Args:
            loss_dict: scalar losses by name.
            data_time: seconds this process waited for its batch; the slowest process's is kept.
            cur_iter: the iteration they belong to.
            prefix: stands before ``total_loss``.

        Raises:
            FloatingPointError: if the total loss is infinite or NaN.
        """
        get_event_storage().put_scalar("rank_data_time", data_time, cur_iter=cur_iter)
        gathered = comm.gather({**_to_floats(loss_dict), "data_time": data_time})
        if not comm.is_main_process():
            return

        storage = get_event_storage()
        slowest = max(metrics.pop("data_time") for metrics in gathered)
        storage.put_scalar("data_time", slowest, cur_iter=cur_iter)
        means = {
            name: float(np.mean([metrics[name] for metrics in gathered if name in metrics]))
            for name in gathered[0]
        }
        total = sum(means.values())
        if not np.isfinite(total):
            broken = [name for name, value in means.items() if not np.isfinite(value)]
            raise FloatingPointError(
                f"Loss became infinite or NaN at iteration={cur_iter}! "
                f"Not finite: {', '.join(broken) or 'only the sum'}.\nloss_dict = {means}"
            )
        storage.put_scalar(f"{prefix}total_loss", total, cur_iter=cur_iter)
        if len(means) > 1:
            for name, value in means.items():
                storage.put_scalar(name, value, cur_iter=cur_iter)

    def state_dict(self) -> dict[str, Any]:
        """The base's state and the ``optimizer``'s."""
        return {**super().state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        super().load_state_dict(state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])

    def after_train(self) -> None:
        """Write the metrics that are still under way, then call the hooks' ``after_train``."""
        try:
            self._raise_from_thread(wait=True)
        finally:
            self.concurrent_executor.shutdown()
            super().after_train()


class AMPTrainer(SimpleTrainer):
    """:class:`SimpleTrainer` with automatic mixed precision, on the device that the model is on.

    Args:
        grad_scaler: scales the loss so that small float16 gradients do not vanish. By default a
            ``torch.amp.GradScaler`` for float16 and none (a disabled one) for bfloat16, whose range
            is that of float32.
        precision: ``torch.float16`` or ``torch.bfloat16`` for what autocast runs in it.
        log_grad_scaler: record the scale as ``[metric]grad_scaler``.

    The others are those of :class:`SimpleTrainer`.

    Raises:
        ValueError: if the model is a ``DataParallel``.
    """

    def __init__(
        self, model: nn.Module, data_loader: Iterable[Any], optimizer: torch.optim.Optimizer,
        gather_metric_period: int = 1, zero_grad_before_forward: bool = False,
        grad_scaler: torch.amp.GradScaler | None = None, precision: torch.dtype = torch.float16,
        log_grad_scaler: bool = False, async_write_metrics: bool = False,
    ) -> None:  # fmt: skip
        if isinstance(model, DataParallel):
            raise ValueError("AMPTrainer takes one device a process: use DistributedDataParallel.")
        super().__init__(
            *(model, data_loader, optimizer),
            *(gather_metric_period, zero_grad_before_forward, async_write_metrics),
        )
        self.precision, self.log_grad_scaler = precision, log_grad_scaler
        self._device_type = next(model.parameters()).device.type
        if grad_scaler is None:
            enabled = precision == torch.float16
            grad_scaler = torch.amp.GradScaler(self._device_type, enabled=enabled)
        self.grad_scaler = grad_scaler

    def run_step(self) -> None:
        """Forward under autocast, scaled backward, metrics, unscaled update."""
        batch, data_time = self._next_batch()
        with torch.autocast(self._device_type, dtype=self.precision):
            loss_dict, total_loss = self._compute_losses(batch)
        self.grad_scaler.scale(total_loss).backward()
        self.after_backward()
        if self.log_grad_scaler:
            scale = self.grad_scaler.get_scale()
            get_event_storage().put_scalar("[metric]grad_scaler", scale)
        self._report(loss_dict, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The base's state and the ``grad_scaler``'s (empty where it is disabled)."""
        return {**super().state_dict(), "grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        super().load_state_dict(state_dict)
        # A run without scaling (another precision or device) saved nothing: start afresh.
        if state_dict.get("grad_scaler"):
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])


def _to_floats(scalars: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """The values on the host; in one transfer, hence with one wait for the device, if possible."""
    values = [torch.as_tensor(value).detach().reshape(()) for value in scalars.values()]
    if len({value.device for value in values}) == 1:
        floats = torch.stack(values).tolist()
    else:
        floats = [float(value) for value in values]
    return dict(zip(scalars, floats, strict=True))
