"""A run's output folder: what was trained and evaluated, on what, with what result."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from projects_ext.errors import MissingFileError, UserError

CONFIG, EVALUATION, HISTORY = "config.yaml", "evaluation.json", "metrics.json"
RESULTS = ("coco_instances_results.json", "inference/coco_instances_results.json")


@dataclass(frozen=True)
class Run:
    """What a run has written.

    Attributes:
        folder: its output folder.
        config: the text of its ``config.yaml``; "" without one.
        evaluation: the content of ``evaluation.json``; empty without one.
        history: name -> (iterations, values) from ``metrics.json``, both (N,).
    """

    folder: Path
    config: str
    evaluation: Mapping[str, Any]
    history: Mapping[str, tuple[np.ndarray, np.ndarray]]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def results_file(self) -> Path | None:
        """The detections in COCO's results format, where there are any."""
        return next((self.folder / x for x in RESULTS if (self.folder / x).is_file()), None)


def is_run(path: str | Path) -> bool:
    """Whether a path is the output folder of a run."""
    return (Path(path) / CONFIG).is_file()


def read_run(folder: str | Path) -> Run:
    """Read a run's files; those that a run does not write have no effect.

    Raises:
        MissingFileError: there is no such folder, or no run in it.
        UserError: a file in it cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(f"{folder} is no folder: give a run's output folder")
    if not is_run(folder):
        raise MissingFileError(
            f"{folder} has no {CONFIG}: give the output folder of a run of train_net.py, or the "
            "file of its results with --truth"
        )
    evaluation = _json(folder / EVALUATION) if (folder / EVALUATION).is_file() else {}
    if not isinstance(evaluation, dict):
        raise UserError(f"{folder / EVALUATION} is no json object: evaluate the run again")
    if not isinstance(evaluation.get("metrics") or {}, dict):
        raise UserError(
            f"{folder / EVALUATION}: its metrics are no json object: evaluate the run again"
        )
    return Run(
        folder,
        (folder / CONFIG).read_text(encoding="utf-8"),
        evaluation,
        _history(folder / HISTORY) if (folder / HISTORY).is_file() else {},
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid json ({error}): evaluate the run again") from error


def _history(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """One json object per line; a line that a crash has cut off is left out."""
    points: dict[str, dict[int, float]] = {}
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            iteration = entry.get("iteration") if isinstance(entry, dict) else None
            if type(iteration) is not int:
                continue
            for name, value in entry.items():
                if name != "iteration" and type(value) in (int, float):
                    # After --resume an iteration is there twice; the later one counts.
                    points.setdefault(name, {})[iteration] = float(value)
    return {
        name: (np.array(sorted(found)), np.array([found[key] for key in sorted(found)]))
        for name, found in points.items()
    }


class _WithNames(yaml.SafeLoader):
    """Reads saved LazyConfigs, too: functions and classes as their names, tuples as lists."""


def _name(loader: Any, name: str, node: Any) -> str:
    return name


def _list(loader: Any, node: Any) -> list[Any]:
    return loader.construct_sequence(node)


_WithNames.add_multi_constructor("tag:yaml.org,2002:python/name:", _name)
_WithNames.add_constructor("tag:yaml.org,2002:python/tuple", _list)


@lru_cache(maxsize=2)
def parsed_config(text: str) -> dict[str, Any]:
    """The content of a ``config.yaml``, without running anything; {} if it cannot be read."""
    try:
        content = yaml.load(text, _WithNames)
    except (yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def config_value(run: Run, *places: str) -> Any:
    """A value of the config by the dotted names it may have, or None.

    Args:
        run: with a config of either kind.
        places: such as "train.max_iter" and "SOLVER.MAX_ITER".
    """
    content = parsed_config(run.config)
    for place in places:
        value: Any = content
        for key in place.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None
