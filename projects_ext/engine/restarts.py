"""Runs that torchrun starts again after one of their processes has died (``--max-restarts``)."""

import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from torch.distributed import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from .places import TIMEOUT, Place

COUNT = "TORCHELASTIC_RESTART_COUNT"
STARTED = "torchrun.started"
"""In the output folder, written when torchrun starts a run for the first time."""


def restart_count(environment: Mapping[str, str]) -> int:
    """How often torchrun has started this run again; 0 the first time and without torchrun."""
    text = environment.get(COUNT, "0")
    return int(text) if text.isdecimal() else 0


def resume_after_restart(arguments: Namespace, output_dir: str, first: bool) -> None:
    """Let a run that torchrun has started again resume from its own last checkpoint.

    A checkpoint that an earlier run has left in the folder does not count.

    Args:
        arguments: of the command line; ``resume`` is set.
        output_dir: the run's output folder, which exists already after a restart.
        first: whether this process writes into it.
    """
    if COUNT not in os.environ or arguments.eval_only:
        return
    started, last = Path(output_dir) / STARTED, Path(output_dir) / "last_checkpoint"
    if restart_count(os.environ) == 0:
        if first:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            started.touch()
        return
    if not arguments.resume and last.is_file() and started.is_file():
        arguments.resume = last.stat().st_mtime_ns >= started.stat().st_mtime_ns


def store_of_this_attempt(place: Place) -> Store:
    """Where the processes of this attempt leave their addresses for each other.

    torchrun keeps one store over all restarts. With plain names new processes would find the
    addresses of the dead ones in it (torch 2.14 with gloo and a process that was killed).

    Args:
        place: as torchrun tells it.
    """
    handler = rendezvous(place.url, place.rank, place.world_size, timeout=TIMEOUT)
    store: Store = next(iter(handler))[0]
    return PrefixStore(f"attempt_{restart_count(os.environ)}", store)
