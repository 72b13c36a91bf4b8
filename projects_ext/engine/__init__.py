"""Training and evaluation, from LazyConfig files and from YAML."""

from .base import RunTrainer
from .config_files import load_config
from .trainer import Trainer
from .yaml_trainer import YamlTrainer

__all__ = ["RunTrainer", "Trainer", "YamlTrainer", "load_config"]
