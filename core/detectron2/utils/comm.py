"""Collective communication that also works in a single process, and on any Python object.

Every function may be called without ``torch.distributed``: it then behaves as in a group of one.
"""

from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist

# The processes of this machine. Set by ``create_local_process_group``, which ``launch`` calls.
_LOCAL_PROCESS_GROUP: dist.ProcessGroup | None = None
# Objects travel through gloo whatever the backend of the default group: NCCL would pickle them
# into GPU memory. Made at the first use.
_OBJECT_GROUP: dist.ProcessGroup | None = None


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    """The number of processes on all machines."""
    return dist.get_world_size() if _is_distributed() else 1


def get_rank() -> int:
    """This process's number among all processes, from 0."""
    return dist.get_rank() if _is_distributed() else 0


def is_main_process() -> bool:
    """Whether this is the process of rank 0, which writes files and logs."""
    return get_rank() == 0


def create_local_process_group(num_workers_per_machine: int) -> None:
    """Make one group for each machine, so that local ranks and sizes can be asked for.

    All processes call it, once, after ``init_process_group``.

    Args:
        num_workers_per_machine: processes on each machine; it divides the world size.
    """
    global _LOCAL_PROCESS_GROUP
    if _LOCAL_PROCESS_GROUP is not None:
        raise RuntimeError("The local process group exists already: create it once only.")
    world_size = get_world_size()
    if world_size % num_workers_per_machine:
        raise ValueError(
            f"{world_size} processes cannot be divided into machines of {num_workers_per_machine}."
        )
    # new_group is collective: every process takes part in the making of every group.
    for start in range(0, world_size, num_workers_per_machine):
        ranks = list(range(start, start + num_workers_per_machine))
        group = cast(dist.ProcessGroup, dist.new_group(ranks))
        if get_rank() in ranks:
            _LOCAL_PROCESS_GROUP = group


def get_local_process_group() -> dist.ProcessGroup:
    """The group of this machine's processes."""
    if _LOCAL_PROCESS_GROUP is None:
        raise RuntimeError(
            "The local process group does not exist: start the processes with detectron2.engine."
            "launch, or call create_local_process_group after init_process_group."
        )
    return _LOCAL_PROCESS_GROUP


def get_local_rank() -> int:
    """This process's number among the processes of its machine, from 0."""
    return dist.get_rank(group=get_local_process_group()) if _is_distributed() else 0


def get_local_size() -> int:
    """The number of processes on this machine."""
    return dist.get_world_size(group=get_local_process_group()) if _is_distributed() else 1


def synchronize() -> None:
    """Wait until every process has come here."""
    if get_world_size() == 1:
        return
    if dist.get_backend() == dist.Backend.NCCL:
        # NCCL would otherwise have to guess the device, and warns about it.
        dist.barrier(device_ids=[torch.cuda.current_device()])
    else:
        dist.barrier()


def _object_group() -> dist.ProcessGroup:
    """A gloo group of all processes (collective at the first call)."""
    global _OBJECT_GROUP
    if _OBJECT_GROUP is None:
        if dist.get_backend() == dist.Backend.GLOO:
            world = dist.group.WORLD
            assert world is not None, "only called in an initialised process group"
            return world
        _OBJECT_GROUP = cast(dist.ProcessGroup, dist.new_group(backend="gloo"))
    return _OBJECT_GROUP


def all_gather(data: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Every process's ``data``, in order of rank, on every process.

    Args:
        data: any object that can be pickled.
        group: a group whose backend can carry objects; by default all processes.
    """
    if get_world_size() == 1:
        return [data]
    group = group or _object_group()
    gathered: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(gathered, data, group=group)
    return gathered


def gather(data: Any, dst: int = 0, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Every process's ``data``, in order of rank, on process ``dst``; an empty list on the others.

    Args:
        data: any object that can be pickled.
        dst: the (global) rank that receives.
        group: as for ``all_gather``.
    """
    if get_world_size() == 1:
        return [data]
    group = group or _object_group()
    size = dist.get_world_size(group)
    gathered: list[Any] | None = [None] * size if get_rank() == dst else None
    dist.gather_object(data, gathered, dst=dst, group=group)
    return gathered or []


def shared_random_seed() -> int:
    """A random number that is the same on every process (collective), below 2**31."""
    return all_gather(int(np.random.randint(2**31)))[0]


@torch.no_grad()
def reduce_dict(
    input_dict: dict[str, torch.Tensor], average: bool = True
) -> dict[str, torch.Tensor]:
    """The sum or mean over processes of each scalar, on rank 0; other ranks get partial results.

    Args:
        input_dict: scalar tensors by name, with the same names on every process.
        average: mean instead of sum.
    """
    world_size = get_world_size()
    if world_size == 1:
        return input_dict
    # One stacked tensor is one message; sorting makes its order the same everywhere.
    names = sorted(input_dict)
    stacked = torch.stack([input_dict[name] for name in names])
    dist.reduce(stacked, dst=0)
    if average and is_main_process():
        stacked = stacked / world_size
    return dict(zip(names, stacked, strict=True))


_get_global_gloo_group = _object_group  # upstream's name

_MISSING_LOCAL_PG_ERROR = "The local process group is missing: use launch() to make it."
