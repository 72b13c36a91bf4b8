"""Weights in: whatever family a file is from, under this project's names."""

from .class_order import class_names
from .key_map import COUNTER, ClassLayer, Format, KeyMap, Rule, Rules, Target, Weights
from .load import load_weights
from .report import LoadReport

__all__ = [
    "COUNTER",
    "ClassLayer",
    "Format",
    "KeyMap",
    "LoadReport",
    "Rule",
    "Rules",
    "Target",
    "Weights",
    "class_names",
    "load_weights",
]
