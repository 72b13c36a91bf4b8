"""Training and evaluation from LazyConfig files."""

from .trainer import Trainer

__all__ = ["Trainer"]
