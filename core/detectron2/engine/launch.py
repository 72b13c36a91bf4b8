"""Starting one training program in several processes, on one machine or on several."""

import logging
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from detectron2.utils import comm
from detectron2.utils.unavailable import INTERNALS, unavailable

__all__ = ["DEFAULT_TIMEOUT", "launch"]

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT = timedelta(minutes=30)


def launch(
    main_func: Callable[..., Any],
    num_gpus_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str | None = None,
    args: tuple[Any, ...] = (),
    timeout: timedelta = DEFAULT_TIMEOUT,
) -> None:
    """Run ``main_func(*args)`` in every process of a training job. Call it once on each machine.

    One process runs here and now. Several are spawned, so ``main_func`` and ``args`` must be
    picklable; they are connected by NCCL, one GPU each. On a machine without GPUs they are CPU
    processes connected by gloo. An exception in one ends all of them and is raised here.

    Args:
        main_func: the program; there ``comm.get_rank()`` and so on tell the processes apart.
        num_gpus_per_machine: processes (GPUs) on each machine.
        num_machines: how many machines take part.
        machine_rank: this machine's number among them, from 0.
        dist_url: where the processes find each other, e.g. ``tcp://host:port``. "auto" or None
            picks a free port, on one machine only.
        args: what ``main_func`` gets.
        timeout: how long a collective operation waits for the others.

    Raises:
        ValueError: if there are fewer GPUs than processes, or the URL cannot serve the machines.
    """
    world_size = num_machines * num_gpus_per_machine
    if world_size <= 1:
        main_func(*args)
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < gpus < num_gpus_per_machine:
        raise ValueError(
            f"{num_gpus_per_machine} processes need as many GPUs, but this machine has {gpus}: "
            f"ask for at most {gpus} (--num-gpus)."
        )
    if not 0 <= machine_rank < num_machines:
        raise ValueError(
            f"The machine rank is {machine_rank}; with {num_machines} machines it is one of 0 to "
            f"{num_machines - 1} (--machine-rank)."
        )
    url = _rendezvous_url(dist_url, num_machines)
    first_rank = machine_rank * num_gpus_per_machine
    mp.spawn(
        _run_process,
        args=(first_rank, num_gpus_per_machine, world_size, url, timeout, main_func, args),
        nprocs=num_gpus_per_machine,
    )


def _rendezvous_url(dist_url: str | None, num_machines: int) -> str:
    """The address at which the processes meet, with a free port in place of "auto"."""
    if dist_url not in (None, "auto"):
        if num_machines > 1 and dist_url.startswith("file://"):
            logger.warning(
                f"dist_url={dist_url} is not reliable between machines: prefer tcp://host:port."
            )
        return dist_url
    if num_machines > 1:
        raise ValueError(
            "dist_url='auto' finds a port on one machine only: with several machines give all of "
            "them the same tcp://host:port of the first one (--dist-url)."
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def _run_process(
    local_rank: int,
    first_rank: int,
    num_local: int,
    world_size: int,
    url: str,
    timeout: timedelta,
    main_func: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    """One spawned process: join the group, run the program, leave the group."""
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(local_rank)
    elif "OMP_NUM_THREADS" not in os.environ:
        # Every process would otherwise start as many threads as the machine has cores.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // num_local))
    dist.init_process_group(
        backend="nccl" if has_gpu else "gloo",
        init_method=url,
        rank=first_rank + local_rank,
        world_size=world_size,
        timeout=timeout,
    )
    comm.create_local_process_group(num_local)
    # Nobody may run into a collective's timeout because another one is still starting.
    comm.synchronize()
    main_func(*args)
    dist.destroy_process_group()


(_distributed_worker, _find_free_port) = unavailable(
    __name__, INTERNALS, "_distributed_worker _find_free_port"
)
