"""Exported models: making them, which needs torch, and running them, which does not."""

from .runtime import Detections, ExportedModel

__all__ = ["Detections", "ExportedModel"]
