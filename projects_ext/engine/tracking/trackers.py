"""The two services, behind one interface. Their packages are imported where they are used."""

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from projects_ext.errors import UserError


class Tracker(Protocol):
    """What records a run somewhere else."""

    name: str
    remedy: str
    """What to do where the run cannot be recorded."""

    def start(self, config: Mapping[str, Any], run_id: str | None) -> str:
        """Begin a run, or continue that of the id; return its id."""
        ...

    def log(self, iteration: int, scalars: Mapping[str, float]) -> None:
        """Record the scalars of one iteration; iterations only grow."""
        ...

    def finish(self, failed: bool) -> None:
        """End the run."""
        ...


class WandbTracker:
    """Weights & Biases, with the package wandb.

    Args:
        project: the name of the project.
        run_name: of the run; empty: the service invents one.
        folder: where the package keeps its files.

    Raises:
        UserError: the package is missing.
    """

    name = "Weights & Biases"
    remedy = "run `wandb login`, set WANDB_MODE=offline, or leave train.wandb.project empty"

    def __init__(self, project: str, run_name: str, folder: str) -> None:
        _require("wandb", "train.wandb.project (YAML: TRACKING.WANDB.PROJECT)")
        self._options: dict[str, Any] = {"project": project, "name": run_name or None}
        self._options["dir"] = folder
        self._run: Any = None

    def start(self, config: Mapping[str, Any], run_id: str | None) -> str:
        """As in :class:`Tracker`; ``WANDB_MODE=offline`` records into the folder."""
        import wandb

        self._run = wandb.init(config=dict(config), id=run_id, resume="allow", **self._options)
        return str(self._run.id)

    def log(self, iteration: int, scalars: Mapping[str, float]) -> None:
        """As in :class:`Tracker`."""
        self._run.log(dict(scalars), step=iteration)

    def finish(self, failed: bool) -> None:
        """As in :class:`Tracker`."""
        self._run.finish(exit_code=int(failed))


class MLflowTracker:
    """MLflow, with the package mlflow or mlflow-skinny.

    Args:
        experiment: its name.
        run_name: of the run; empty: the service invents one.
        address: of the tracking server or database, e.g. ``http://localhost:5000`` or
            ``sqlite:///runs.db``; empty: ``MLFLOW_TRACKING_URI``, or MLflow's own default.

    Raises:
        UserError: the package is missing.
    """

    name = "MLflow"
    remedy = (
        "check train.mlflow.tracking_uri (YAML: TRACKING.MLFLOW.TRACKING_URI) or "
        "MLFLOW_TRACKING_URI, or leave train.mlflow.experiment empty"
    )
    _PARAMETERS_PER_CALL = 100
    _LONGEST_PARAMETER = 6000

    def __init__(self, experiment: str, run_name: str, address: str) -> None:
        _require("mlflow", "train.mlflow.experiment (YAML: TRACKING.MLFLOW.EXPERIMENT)")
        self._experiment, self._run_name, self._address = experiment, run_name, address
        self._client: Any = None
        self._run_id = ""

    def start(self, config: Mapping[str, Any], run_id: str | None) -> str:
        """As in :class:`Tracker`; the leaves of the config become parameters."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(self._address or None)
        if run_id is not None:
            self._run_id = run_id
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = (
            self._client.create_experiment(self._experiment)
            if known is None
            else known.experiment_id
        )
        run = self._client.create_run(experiment, run_name=self._run_name or None)
        self._run_id = str(run.info.run_id)
        parameters = [
            Param(_accepted(key), str(value)[: self._LONGEST_PARAMETER])
            for key, value in leaves(config)
        ]
        for start in range(0, len(parameters), self._PARAMETERS_PER_CALL):
            part = parameters[start : start + self._PARAMETERS_PER_CALL]
            self._client.log_batch(self._run_id, params=part)
        return self._run_id

    def log(self, iteration: int, scalars: Mapping[str, float]) -> None:
        """As in :class:`Tracker`; databases have no NaN, and such values are left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(_accepted(name), float(value), now, iteration)
            for name, value in scalars.items()
            if math.isfinite(value)
        ]
        self._client.log_batch(self._run_id, metrics=metrics)

    def finish(self, failed: bool) -> None:
        """As in :class:`Tracker`."""
        self._client.set_terminated(self._run_id, "FAILED" if failed else "FINISHED")


def _accepted(name: str) -> str:
    """The name with ``_`` for what MLflow refuses in names; those of classes can hold anything."""
    return re.sub(r"[^\w./ -]", "_", name)


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings and lists with their full names."""
    items: Any = None
    if isinstance(config, Mapping):
        items = config.items()
    elif isinstance(config, Sequence) and not isinstance(config, str):
        items = enumerate(config)
    if items is None or not config:
        yield prefix.removesuffix("."), config
        return
    for key, value in items:
        yield from leaves(value, f"{prefix}{key}.")


def _require(package: str, key: str) -> None:
    if find_spec(package) is None:
        raise UserError(
            f"{key} is set, but the package {package} is missing: pip install '.[{package}]', or "
            "leave the key empty"
        )
