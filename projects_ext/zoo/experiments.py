"""The published experiments as data: what ``experiments.yaml`` says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .configs import full_name

METRICS: Mapping[str, tuple[str, ...]] = {
    "box AP": ("bbox/AP",),
    "mask AP": ("segm/AP",),
    "mIoU": ("sem_seg/mIoU", "sem_seg/IoU"),
    "mIoU ms+flip": ("sem_seg_ms_flip/mIoU", "sem_seg_ms_flip/IoU"),
}
"""Published metric -> what evaluators call it; Cityscapes' names its mean IoU otherwise."""


@dataclass(frozen=True)
class Experiment:
    """A row of a published table.

    Attributes:
        name: of its config, below ``configs/`` and without ``.py``.
        table: the table it is from.
        data: what it was evaluated on.
        source: who published it.
        metrics: per cent by name, of :data:`METRICS`; None where the table has an empty cell.
        schedule: how long it was trained.
        memory_gb: memory of training, in GB, if published.
        images_per_second: speed of inference, if published.
        hardware: what these two were measured on.
        address: of the weights; empty if they are no longer published.
        note: what there is to say besides.
    """

    name: str
    table: str
    data: str
    source: str
    metrics: Mapping[str, float | None]
    schedule: str
    memory_gb: float | None = None
    images_per_second: float | None = None
    hardware: str = ""
    address: str = ""
    note: str = ""

    @property
    def hash_prefix(self) -> str:
        """The first eight digits of the weight file's SHA-256; empty without a file."""
        found = re.search(r"-([0-9a-f]{8})\.pth$", self.address)
        return found[1] if found else ""


@dataclass(frozen=True)
class Table:
    """A published table: its name, the data, and its rows from top to bottom.

    A row that is in two tables belongs to the one that its ``table`` names.
    """

    name: str
    data: str
    rows: tuple[Experiment, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that any of the rows has."""
        return tuple(name for name in METRICS if any(name in row.metrics for row in self.rows))


@cache
def tables() -> tuple[Table, ...]:
    """All tables."""
    text = (Path(__file__).parent / "experiments.yaml").read_text(encoding="utf-8")
    read = yaml.safe_load(text)["tables"]
    known = {
        row["config"]: _experiment(table, row)
        for table in read
        for row in table["rows"]
        if "config" in row
    }
    return tuple(
        Table(
            table["name"],
            table["data"],
            tuple(known[row.get("config") or row["same_as"]] for row in table["rows"]),
        )
        for table in read
    )


def experiments() -> dict[str, Experiment]:
    """Every experiment by its name, in the order of the tables."""
    return {row.name: row for table in tables() for row in table.rows}


def find(name: str) -> Experiment:
    """The experiment that is meant.

    Args:
        name: the name, or its last part, with or without ``.py``.

    Raises:
        UserError: there is no such experiment.
    """
    return experiments()[full_name(name, experiments(), "published experiment")]


def _experiment(table: Mapping[str, Any], row: Mapping[str, Any]) -> Experiment:
    speed = row.get("images_per_second")
    if "ms_per_image" in row:
        speed = 1000 / row["ms_per_image"]
    return Experiment(
        name=row["config"],
        table=table["name"],
        data=table["data"],
        source=table["source"],
        metrics={name: row[name] for name in METRICS if name in row},
        schedule=row["schedule"],
        memory_gb=row.get("memory_gb"),
        images_per_second=speed,
        hardware=table["hardware"],
        address=table["root"] + row["file"] if "file" in row else "",
        note=row.get("note", ""),
    )
