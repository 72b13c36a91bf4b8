"""Data sets that Detectron2 cannot name by itself, checks of them, and resumable loaders."""

from .datasets import count_categories, dataset_errors, register_coco_format, require_class_count
from .loading import build_test_loader, build_train_loader, yaml_test_loader, yaml_train_loader
from .resumable import ResumableLoader

__all__ = [
    "ResumableLoader",
    "build_test_loader",
    "build_train_loader",
    "count_categories",
    "dataset_errors",
    "register_coco_format",
    "require_class_count",
    "yaml_test_loader",
    "yaml_train_loader",
]
