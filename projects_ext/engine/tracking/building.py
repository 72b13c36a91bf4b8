"""The trackers that a config names, as hooks."""

from pathlib import Path

from ..config_files import Config
from ..settings import Settings
from .hook import TrackMetrics
from .plain_config import plain_config
from .trackers import MLflowTracker, Tracker, WandbTracker


def track_metrics(settings: Settings, cfg: Config) -> list[TrackMetrics]:
    """One hook per tracker, for the main process.

    Args:
        settings: of the run.
        cfg: the same as a whole; the trackers show it.

    Raises:
        UserError: the package of a tracker is missing.
    """
    folder, trackers = settings.output_dir, list[Tracker]()
    if settings.wandb.get("project"):
        options = settings.wandb
        trackers.append(WandbTracker(options["project"], options.get("name", ""), folder))
    if settings.mlflow.get("experiment"):
        options = settings.mlflow
        name, address = options.get("name", ""), options.get("tracking_uri", "")
        trackers.append(MLflowTracker(options["experiment"], name, address))
    config = plain_config(cfg) if trackers else {}
    return [TrackMetrics(one, settings.log_period, config, Path(folder)) for one in trackers]
