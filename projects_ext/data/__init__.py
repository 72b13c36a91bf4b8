"""Data sets that Detectron2 cannot name by itself, checks of them, and resumable loaders."""

from .classes import require_class_count, require_same_classes
from .datasets import count_categories, dataset_errors, register_coco_format, require_safe_data
from .label_folders import count_classes, register_label_folders
from .labels import require_label_maps
from .loading import build_test_loader, build_train_loader, yaml_test_loader, yaml_train_loader
from .resumable import ResumableLoader
from .validate import log_pending_warnings
from .voc12aug import register_voc12aug

__all__ = [
    "ResumableLoader",
    "build_test_loader",
    "build_train_loader",
    "count_categories",
    "count_classes",
    "dataset_errors",
    "log_pending_warnings",
    "register_coco_format",
    "register_label_folders",
    "register_voc12aug",
    "require_class_count",
    "require_label_maps",
    "require_safe_data",
    "require_same_classes",
    "yaml_test_loader",
    "yaml_train_loader",
]
