"""How many processes a run has, which one this is, and where they meet."""

import os
import socket
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import torch

from projects_ext.errors import UserError

# How long one process waits for the others, e.g. while the first one writes an evaluation.
TIMEOUT = timedelta(minutes=30)

# What torchrun (or a cluster's launcher in its place) sets for each process.
ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """Where one process stands: its numbers among all and on its machine, and the meeting point."""

    rank: int
    world_size: int
    local_rank: int
    url: str


def place_from_environment(environment: Mapping[str, str]) -> Place | None:
    """This process's place as torchrun tells it, or None if it was not started so.

    Raises:
        UserError: the variables hold no numbers, or numbers that do not fit together.
    """
    if not all(name in environment for name in ENVIRONMENT):
        return None
    rank, world_size, local_rank, _, port = (
        0 if name == "MASTER_ADDR" else _number(name, environment[name]) for name in ENVIRONMENT
    )
    if not (0 <= local_rank <= rank < world_size and 0 < port < 1 << 16):
        told = " ".join(f"{name}={environment[name]}" for name in ENVIRONMENT)
        raise UserError(
            f"the environment says {told}, which do not fit together: start the processes with "
            "torchrun, or unset these variables"
        )
    return Place(rank, world_size, local_rank, "env://")


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise UserError(
            f"the environment variable {name} is {text!r} and no number: start the processes with "
            f"torchrun, or unset {name}"
        )
    return int(text)


def world_size(arguments: Namespace) -> int:
    """How many processes the run has, on all machines.

    Raises:
        UserError: the command line or torchrun's environment says nothing sensible.
    """
    place = place_from_environment(os.environ)
    if place is not None:
        return place.world_size
    check_arguments(arguments)
    return arguments.num_gpus * arguments.num_machines


def require_places(arguments: Namespace, on_gpu: bool) -> None:
    """Refuse more processes than this machine has GPUs or cores for.

    Under torchrun they are started already, and only a GPU may be missing.

    Args:
        arguments: with ``num_gpus``, ``num_machines`` and ``machine_rank``.
        on_gpu: each process needs a GPU.

    Raises:
        UserError: with the option to correct.
    """
    place = place_from_environment(os.environ)
    if place is None:
        check_arguments(arguments)
    count = arguments.num_gpus if place is None else place.local_rank + 1
    if on_gpu:
        _require_gpus(count)
    elif place is None:
        _require_cores(count)


def is_first(arguments: Namespace) -> bool:
    """Whether this process is, or starts, the one that writes into the output folder."""
    place = place_from_environment(os.environ)
    return place.rank == 0 if place is not None else arguments.machine_rank == 0


def require_batch(batch_size: int, processes: int, key: str) -> None:
    """Refuse a batch that cannot be shared equally.

    Args:
        batch_size: images per iteration, of all processes together.
        processes: on all machines.
        key: of the batch size, in the config.

    Raises:
        UserError: with the nearest batch sizes that can.
    """
    if batch_size % processes:
        fewer = batch_size // processes * processes
        sizes = f"{fewer} or {fewer + processes}" if fewer else f"{processes}"
        raise UserError(
            f"{key} is {batch_size}, which {processes} processes cannot share equally: set it to "
            f"{sizes}, or change --num-gpus (torchrun: --nproc-per-node)"
        )


def check_arguments(arguments: Namespace) -> None:
    """Refuse numbers of processes and machines, and a place to meet, that cannot be.

    Raises:
        UserError: with the option to correct.
    """
    if arguments.num_gpus < 1 or arguments.num_machines < 1:
        raise UserError(
            f"--num-gpus {arguments.num_gpus} --num-machines {arguments.num_machines}: at least 1 "
            "of each is needed (1 is also right for a machine without a GPU)"
        )
    if not 0 <= arguments.machine_rank < arguments.num_machines:
        raise UserError(
            f"--machine-rank {arguments.machine_rank}: with --num-machines "
            f"{arguments.num_machines} it is one of 0 to {arguments.num_machines - 1}"
        )
    if arguments.dist_url != "auto":
        _check_url(arguments.dist_url)


def meeting_point(url: str, num_machines: int) -> str:
    """``url``, with a free port of this machine in place of ``auto``.

    Raises:
        UserError: ``auto`` for several machines, which cannot know each other's port.
    """
    if url != "auto":
        return url
    if num_machines > 1:
        raise UserError(
            "several machines need a place to meet: give --dist-url tcp://HOST:PORT, with the name "
            "of machine 0 and a free port of it, on each of them"
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def _check_url(url: str) -> None:
    """Of what looks like a URL torch reports what is wrong only where the processes meet."""
    parts = urlsplit(url)
    try:
        whole = bool(parts.hostname and parts.port)
    except ValueError:  # the port is no number, or too large
        whole = False
    if parts.scheme not in ("tcp", "file", "env") or (parts.scheme == "tcp" and not whole):
        raise UserError(
            f"--dist-url {url} is no place to meet: write tcp://HOST:PORT with the name of machine "
            "0 and a free port of it, or leave it out on a single machine"
        )


def _require_cores(count: int) -> None:
    """Refuse more processes than cores; two are always possible, to try things out."""
    cores = os.cpu_count() or 1
    if count > max(2, cores):
        raise UserError(
            f"--num-gpus {count}: the run is on the CPU, and this machine has {cores} cores: give "
            f"--num-gpus {max(2, cores)} at most (one process uses all cores, too)"
        )


def _require_gpus(count: int) -> None:
    available = torch.cuda.device_count()
    if available < count:
        raise UserError(
            f"{count} processes on GPUs, but this machine has {available}: lower --num-gpus "
            "(torchrun: --nproc-per-node), or run on the CPU (train.device=cpu, YAML: MODEL.DEVICE)"
        )
