"""One training program in one or many processes, on GPUs or on the CPU.

Detectron2 upstream starts several processes on GPUs only, and does not know torchrun; this does
both, and tells ``detectron2.utils.comm`` what it would tell it.
"""

import gc
import os
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing

from detectron2.utils import comm
from projects_ext.errors import UserError

from .places import TIMEOUT, Place, meeting_point, place_from_environment, require_places
from .restarts import store_of_this_attempt

Program = Callable[[Namespace], Any]


def launch(program: Program, arguments: Namespace, on_gpu: bool) -> None:
    """Run ``program(arguments)`` in every process that the command line or torchrun asks for.

    Under torchrun this process is one of them, already started, and nothing is started here.
    Otherwise ``--num-gpus`` processes are, unless one process is enough for this machine.

    Args:
        program: can be pickled; ``comm`` tells it which of the processes it is in.
        arguments: with ``num_gpus``, ``num_machines``, ``machine_rank`` and ``dist_url``.
        on_gpu: each process has a GPU, connected by NCCL; otherwise they share the CPU and are
            connected by gloo.

    Raises:
        UserError: the numbers or the URL do not fit together, or there are too few GPUs.
    """
    require_places(arguments, on_gpu)
    place = place_from_environment(os.environ)
    if place is not None:
        if place.world_size == 1:
            program(arguments)
        else:
            _run(program, arguments, place, on_gpu)
        return
    if arguments.num_gpus * arguments.num_machines == 1:
        program(arguments)
        return
    details = (
        program,
        arguments,
        meeting_point(arguments.dist_url, arguments.num_machines),
        on_gpu,
    )
    if arguments.num_gpus == 1:
        _run_one_of(0, *details)
    else:
        multiprocessing.start_processes(_run_one_of, args=details, nprocs=arguments.num_gpus)


def _run_one_of(
    local_rank: int, program: Program, arguments: Namespace, url: str, on_gpu: bool
) -> None:
    """Be the process of this number on this machine."""
    per_machine = arguments.num_gpus
    rank = arguments.machine_rank * per_machine + local_rank
    place = Place(rank, per_machine * arguments.num_machines, local_rank, url)
    if not on_gpu and "OMP_NUM_THREADS" not in os.environ:
        # Each process would start as many threads as there are cores.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // per_machine))
    _run(program, arguments, place, on_gpu)


def _run(program: Program, arguments: Namespace, place: Place, on_gpu: bool) -> None:
    """Join the others, run the program, leave."""
    if on_gpu:
        torch.cuda.set_device(place.local_rank)
    try:
        where: dict[str, Any] = {"init_method": place.url}
        if place.url == "env://":
            where = {"store": store_of_this_attempt(place)}
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            rank=place.rank,
            world_size=place.world_size,
            timeout=TIMEOUT,
            **where,
        )
    except dist.DistError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"the processes could not meet at {place.url} ({reason}): check that the address is "
            "the first machine's and its port is free there (--dist-url; torchrun: --rdzv-endpoint)"
        ) from error
    # The machines have equally many processes; what is said of one holds for all.
    comm.create_local_process_group(max(comm.all_gather(place.local_rank)) + 1)
    # Nobody runs into a time limit because another one is still starting.
    comm.synchronize()
    program(arguments)
    # Not after an exception: NCCL would wait for the processes that go on.
    _leave()


def _leave() -> None:
    """Leave the group and let go of it.

    A thread of it that is still at work when the interpreter ends would abort the process; and
    whoever launches another program in this process needs ``comm`` as it was.
    """
    gc.collect()
    dist.destroy_process_group()
    # How upstream Detectron2 and detectron2-core call what they keep of the groups.
    for name in ("_LOCAL_PROCESS_GROUP", "_OBJECT_GROUP"):
        if hasattr(comm, name):
            setattr(comm, name, None)
    forget = getattr(getattr(comm, "_get_global_gloo_group", None), "cache_clear", None)
    if forget is not None:
        forget()
