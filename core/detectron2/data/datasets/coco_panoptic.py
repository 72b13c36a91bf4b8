"""Panoptic data sets are outside of what this package covers; their names say so."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["register_coco_panoptic", "register_coco_panoptic_separated"]


def register_coco_panoptic(
    name: str,
    metadata: dict[str, Any],
    image_root: str,
    panoptic_root: str,
    panoptic_json: str,
    instances_json: str | None = None,
) -> NoReturn:
    """Raises NotImplementedError: panoptic segmentation is left out of this package."""
    raise NotImplementedError(_left_out(name))


def register_coco_panoptic_separated(
    name: str,
    metadata: dict[str, Any],
    image_root: str,
    panoptic_root: str,
    panoptic_json: str,
    sem_seg_root: str,
    instances_json: str,
) -> NoReturn:
    """Raises NotImplementedError: panoptic segmentation is left out of this package."""
    raise NotImplementedError(_left_out(name))


def _left_out(name: str) -> str:
    return (
        f"Cannot register '{name}': detectron2-core does not cover panoptic segmentation; use "
        "upstream Detectron2, or register_coco_instances and load_sem_seg for its two halves."
    )
