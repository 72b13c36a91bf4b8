"""Published experiments: their configs, metrics and weights, by name.

In a terminal: ``python -m projects_ext.zoo --help``.
"""

from .configs import config_file, config_names, get_config
from .experiments import Experiment, Table, experiments, find, tables

__all__ = [
    "Experiment",
    "Table",
    "config_file",
    "config_names",
    "experiments",
    "find",
    "get_config",
    "tables",
]
