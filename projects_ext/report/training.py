"""What a run's folder says about itself: facts for a table, and the curves of its training."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from markupsafe import Markup

from . import plots
from .run import Run, config_value

Plot = tuple[str, str, Markup]
"""Title, what to read from it, and the drawing."""


def run_facts(run: Run) -> list[tuple[str, str]]:
    """Config, schedule, weights, versions and time, as far as the run has written them down."""
    said = run.evaluation
    config, checkpoint = _part(said, "config"), _part(said, "checkpoint")
    facts = [
        ("Output folder", str(run.folder)),
        ("Config", str(config.get("file", ""))),
        ("Iterations", _text(config_value(run, "train.max_iter", "SOLVER.MAX_ITER"))),
        ("Images per iteration", _text(_batch_size(run))),
        ("Learning rate", _text(config_value(run, "optimizer.lr", "SOLVER.BASE_LR"))),
        ("Training time", _training_time(run)),
        ("Weights", str(checkpoint.get("file", ""))),
        ("Their SHA-256", str(checkpoint.get("sha256", ""))),
        ("Device", str(said.get("device", ""))),
        ("Evaluated", str(said.get("date", "")).replace("T", " ")),
    ]
    facts += [(name, str(version)) for name, version in _part(said, "versions").items()]
    return [(name, value) for name, value in facts if value]


def changed_keys(run: Run) -> str:
    """What the command line changed in the config, one key per line."""
    return "\n".join(map(str, _part(run.evaluation, "config").get("overrides") or ()))


def _part(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return "" if value is None else f"{value:,}" if type(value) is int else f"{value}"


def _batch_size(run: Run) -> Any:
    return config_value(run, "dataloader.train.total_batch_size", "SOLVER.IMS_PER_BATCH")


def _training_time(run: Run) -> str:
    """From the seconds per iteration that were logged now and then."""
    iterations, seconds = run.history.get("time", (np.zeros(0), np.zeros(0)))
    if not len(iterations):
        return ""
    total = float((np.diff(iterations, prepend=-1) * seconds).sum())
    return f"about {timedelta(seconds=round(total))}"


def training_plots(run: Run) -> list[Plot]:
    """Losses, metrics on the validation data and learning rate by iteration, as far as logged."""
    history = run.history
    parts = {
        name: history[name]
        for name in sorted(history)
        if name.startswith("loss_") and len(history[name][0]) > 1
    }
    found: list[Plot] = []
    if "total_loss" in history and len(history["total_loss"][0]) > 1:
        total = {"total_loss": history["total_loss"]}
        drawn = plots.lines(total, "iteration", "loss", "Total loss by iteration")
        found.append(("Total loss", "Should fall, and level off towards the end.", drawn))
    if len(parts) > 1:
        drawn = plots.lines(parts, "iteration", "loss", "Parts of the loss by iteration")
        found.append(("Its parts", "Which part of the model still learns.", drawn))
    measured = {
        name: history[name]
        for name in ("segm/AP", "bbox/AP", "sem_seg/mIoU")
        if name in history and len(history[name][0]) > 1
    }
    if measured:
        drawn = plots.lines(measured, "iteration", "per cent", "Validation metrics by iteration")
        found.append(("Validation", "If it falls while the loss falls, the model overfits.", drawn))
    if "lr" in history and len(history["lr"][0]) > 1:
        drawn = plots.lines(
            {"lr": history["lr"]}, "iteration", "learning rate", "Learning rate by iteration"
        )
        found.append(("Learning rate", "", drawn))
    return found
