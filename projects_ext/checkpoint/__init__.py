"""Weights in: whatever family a file is from, under this project's names."""

from .key_map import ClassLayer, Format, KeyMap, Rule, Rules, Target, Weights
from .load import load_weights
from .report import LoadReport

__all__ = [
    "ClassLayer",
    "Format",
    "KeyMap",
    "LoadReport",
    "Rule",
    "Rules",
    "Target",
    "Weights",
    "load_weights",
]
