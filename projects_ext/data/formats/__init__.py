"""Annotation formats of others, read as COCO-style dictionaries: one module per format.

Polygons keep their coordinates, several polygons of one object stay one object, and masks with
holes become run lengths. The general converters were compared on such objects: they re-trace
polygons from masks, fill holes or mark run lengths as crowds, so these small readers are our own.
"""

from .part import Part, Source
from .recognition import read_source

__all__ = ["Part", "Source", "read_source"]
