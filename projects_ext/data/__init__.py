"""Data sets that Detectron2 cannot name by itself."""

from .datasets import count_categories, register_coco_format

__all__ = ["count_categories", "register_coco_format"]
