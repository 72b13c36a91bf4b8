"""What one key each adds to a training run."""

from .early_stopping import EarlyStopping, EndedEarly
from .freezing import KeepNormsFrozen, freeze
from .layer_decay import decay_by_layer
from .recomputing import recompute_backbone
from .validation_loss import validation_losses

__all__ = [
    "EarlyStopping",
    "EndedEarly",
    "KeepNormsFrozen",
    "decay_by_layer",
    "freeze",
    "recompute_backbone",
    "validation_losses",
]
