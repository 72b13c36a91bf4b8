"""Metrics for experiment trackers: Weights & Biases and MLflow."""

from .building import track_metrics
from .hook import TrackMetrics
from .plain_config import plain_config
from .trackers import MLflowTracker, Tracker, WandbTracker

__all__ = [
    "MLflowTracker",
    "TrackMetrics",
    "Tracker",
    "WandbTracker",
    "plain_config",
    "track_metrics",
]
