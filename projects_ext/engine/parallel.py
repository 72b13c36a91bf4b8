"""What makes a model fit for one process or many, on a GPU or on the CPU."""

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from detectron2.engine import create_ddp_model
from detectron2.layers import NaiveSyncBatchNorm
from detectron2.utils import comm

logger = logging.getLogger("detectron2.projects_ext")

SYNCHRONISED = (nn.SyncBatchNorm, NaiveSyncBatchNorm)


def wrap_for_processes(model: nn.Module, options: Mapping[str, Any]) -> nn.Module:
    """``model`` in a DistributedDataParallel, if there are several processes.

    Args:
        options: for ``detectron2.engine.create_ddp_model``.
    """
    options = dict(options)
    parameters = inspect.signature(DistributedDataParallel).parameters
    if "broadcast_buffers" in options and "forward_sync_buffers" in parameters:
        # How torch calls it since 2.14; the old name brings a warning.
        options["forward_sync_buffers"] = options.pop("broadcast_buffers")
    if not next(model.parameters()).is_cuda:
        # Left alone, upstream Detectron2 names a GPU.
        options["device_ids"] = None
    return create_ddp_model(model, **options)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, of one in a DistributedDataParallel."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def plain_norms_where_alone(model: nn.Module, on_gpu: bool) -> nn.Module:
    """Replace SyncBN by BN, in place, where there is nothing to synchronise or no GPU to do it.

    Parameters, statistics and state-dict names stay. One line in the log says how many changed.

    Returns:
        ``model``, or its replacement if it is such a layer itself.
    """
    if on_gpu and comm.get_world_size() > 1:
        return model
    count = sum(isinstance(module, SYNCHRONISED) for module in model.modules())
    if count:
        reason = "there is one process" if comm.get_world_size() == 1 else "there is no GPU"
        logger.info(f"SyncBN runs as BN in {count} layers: {reason}")
        model = _with_plain_norms(model)
    return model


def _with_plain_norms(module: nn.Module) -> nn.Module:
    if isinstance(module, SYNCHRONISED):
        return _plain_norm(module)
    for name, child in module.named_children():
        setattr(module, name, _with_plain_norms(child))
    return module


def _plain_norm(norm: nn.modules.batchnorm._BatchNorm) -> nn.BatchNorm2d:
    plain = nn.BatchNorm2d(
        norm.num_features,
        eps=norm.eps,
        momentum=norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
    )
    # The very same tensors: an optimiser that knows them stays right.
    for name, parameter in norm.named_parameters(recurse=False):
        setattr(plain, name, parameter)
    for name, buffer in norm.named_buffers(recurse=False):
        setattr(plain, name, buffer)
    return plain.train(norm.training)


@torch.no_grad()
def share_buffers(model: nn.Module) -> None:
    """Give every process the first one's buffers (BN's running statistics, above all).

    While training each process has its own. Called before an evaluation, so that all of them
    evaluate the model that a checkpoint holds.
    """
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
