"""Evaluating published weights as ``train_net.py --eval-only`` does, beside what was published."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from tabulate import tabulate

from detectron2.config import instantiate
from projects_ext.data import dataset_errors
from projects_ext.engine.config_files import load_config
from projects_ext.engine.main import main
from projects_ext.engine.results import FILE_NAME
from projects_ext.errors import MissingFileError

from .configs import config_file
from .download import fetch, is_published
from .experiments import METRICS, Experiment
from .text import metric_text


def evaluate(
    experiment: Experiment, *, weights: str = "", num_gpus: int = 1, overrides: Sequence[str] = ()
) -> dict[str, float | None]:
    """Measure an experiment's metrics; they are in ``evaluation.json`` of its output folder, too.

    Args:
        experiment: one of the zoo.
        weights: a file in place of the published one, which is downloaded.
        num_gpus: processes, one GPU each; on the CPU without any.
        overrides: ``key=value`` pairs that change the config; the last one counts.

    Returns:
        per cent by the names of :data:`METRICS`; None for what the evaluators did not measure.

    Raises:
        UserError: the data or the weights are missing, damaged, or not what they should be.
    """
    file = config_file(experiment.name)
    changes = [f"train.output_dir=output/zoo/{experiment.name}", *overrides]
    cfg = load_config(file, changes)
    assert isinstance(cfg, DictConfig)
    _require_data(cfg)
    path = _given(experiment, weights) if weights else fetch(experiment)
    changes.append(f"train.init_checkpoint={_quoted(path)}")
    main(["--config-file", file, "--eval-only", "--num-gpus", str(num_gpus), *changes])
    results = json.loads((Path(cfg.train.output_dir) / FILE_NAME).read_text())
    return measured(results["metrics"])


def measured(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """What evaluators answered, by the names of :data:`METRICS`."""
    flat = {
        f"{task}/{name}": value
        for task, values in metrics.items()
        for name, value in values.items()
    }
    return {
        metric: next((flat[key] for key in keys if key in flat), None)
        for metric, keys in METRICS.items()
    }


def comparison(experiment: Experiment, found: Mapping[str, float | None]) -> str:
    """A table of the published metrics, those in ``found``, and the differences."""
    rows = []
    for metric, published in experiment.metrics.items():
        value = found.get(metric)
        difference = None if published is None or value is None else value - published
        rows.append(
            (
                metric,
                metric_text(metric, published, "not published"),
                "not measured" if value is None else f"{value:.2f}",
                "" if difference is None else f"{difference:+.2f}",
            )
        )
    head = (f"{experiment.data}, %", "published", "measured", "difference")
    return tabulate(rows, headers=head, disable_numparse=True)


def _require_data(cfg: DictConfig) -> None:
    """Find the pictures' records before anything is downloaded."""
    with dataset_errors():
        instantiate(cfg.dataloader.test.dataset)


def _given(experiment: Experiment, path: str) -> str:
    """A file of the user's own, which may be any; say whether it is the published one."""
    if not Path(path).is_file():
        raise MissingFileError(f"there is no weight file {path}: correct --weights")
    known = "the published file" if is_published(experiment, path) else "not the published file"
    print(f"{path} is {known}, by its SHA-256.")
    return path


def _quoted(path: str) -> str:
    """A path as a value on the command line, whatever characters it has."""
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
