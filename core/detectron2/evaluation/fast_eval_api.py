"""COCO's metric in a faster form than pycocotools', with its interface."""

from ._coco_matching import VectorizedCOCOeval

__all__ = ["COCOeval_opt"]

COCOeval_opt = VectorizedCOCOeval
"""Upstream's name of it; upstream's is compiled, this one vectorized."""
