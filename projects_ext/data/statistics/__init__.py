"""What a data set holds, computed once for both the first screen and the report's page."""

from .labels import LabelMapStatistics, count_label_maps
from .objects import ObjectStatistics, count_objects
from .oddities import Limits, Oddity, find_oddities

__all__ = [
    "LabelMapStatistics",
    "Limits",
    "ObjectStatistics",
    "Oddity",
    "count_label_maps",
    "count_objects",
    "find_oddities",
]
