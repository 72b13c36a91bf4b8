"""Drawing panoptic segmentations, given as maps of segment ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

Segment = tuple[np.ndarray, dict[str, Any]]


def rgb_to_id(image: np.ndarray) -> np.ndarray:
    """The segment ids, (H, W) int64, of a panoptic png (H, W, 3): red + 256 green + 256^2 blue."""
    return image[..., :3].astype(np.int64) @ np.array([1, 256, 256**2])


class PanopticPrediction:
    """The segments of a panoptic segmentation, large ones first.

    Args:
        panoptic_seg: (H, W) of segment ids.
        segments_info: of each segment a dict with ``id``, ``category_id`` and ``isthing``. With
            None, ids are ``category_id * label_divisor + instance`` and -1 is void.
        metadata: with ``label_divisor`` and ``thing_dataset_id_to_contiguous_id``, for that case.
    """

    def __init__(
        self,
        panoptic_seg: Any,
        segments_info: Sequence[dict[str, Any]] | None,
        metadata: Any = None,
    ) -> None:
        self._seg = np.asarray(
            panoptic_seg.cpu() if isinstance(panoptic_seg, torch.Tensor) else panoptic_seg
        )
        ids, areas = np.unique(self._seg, return_counts=True)
        if segments_info is None:
            segments_info = _info_from_ids(ids.tolist(), metadata)
        info = {segment["id"]: segment for segment in segments_info}
        order = np.argsort(-areas, kind="stable")
        self._segments = [
            {**info[i], "area": float(area)}
            for i, area in zip(ids[order].tolist(), areas[order].tolist(), strict=True)
            if i in info
        ]

    def non_empty_mask(self) -> np.ndarray:
        """(H, W) bool: the pixels that belong to a segment."""
        return np.isin(self._seg, [segment["id"] for segment in self._segments])

    def semantic_masks(self) -> Iterator[Segment]:
        """A mask (H, W) and the dict of each segment of stuff."""
        return self._masks(things=False)

    def instance_masks(self) -> Iterator[Segment]:
        """A mask (H, W) and the dict of each thing."""
        return self._masks(things=True)

    def _masks(self, things: bool) -> Iterator[Segment]:
        for segment in self._segments:
            if bool(segment["isthing"]) is things:
                yield self._seg == segment["id"], segment


def _info_from_ids(ids: Sequence[int], metadata: Any) -> list[dict[str, Any]]:
    things = set(metadata.thing_dataset_id_to_contiguous_id.values())
    divisor = metadata.label_divisor
    return [
        {"id": i, "category_id": i // divisor, "isthing": i // divisor in things}
        for i in ids
        if i != -1
    ]


def create_text_labels(
    classes: Sequence[int] | None,
    scores: Any,
    class_names: Sequence[str] | None,
    is_crowd: Sequence[Any] | None = None,
) -> list[str] | None:
    """Labels such as "person 95%" or "person|crowd"; None where there is nothing to write."""
    labels = None
    if classes is not None:
        labels = [
            class_names[i] if class_names and i < len(class_names) else str(i) for i in classes
        ]
    if scores is not None:
        percent = [f"{100 * float(score):.0f}%" for score in scores]
        labels = (
            percent
            if labels is None
            else [f"{a} {b}" for a, b in zip(labels, percent, strict=True)]
        )
    if labels is not None and is_crowd is not None:
        labels = [f"{a}|crowd" if crowd else a for a, crowd in zip(labels, is_crowd, strict=True)]
    return labels


def draw_panoptic(
    visualizer: Any,
    segments: PanopticPrediction,
    colors_of: Callable[[list[int], list[np.ndarray]], Any],
    area_threshold: float | None,
    alpha: float,
    edge_color: Any = None,
) -> Any:
    """Draw stuff in the metadata's colours, if it has them, and things above it.

    Args:
        visualizer: to draw with.
        segments: what to draw.
        colors_of: gives colours from the things' classes and masks (H, W); None for any.
        area_threshold: leave out stuff of fewer pixels.
        alpha: opacity in [0, 1].
        edge_color: of the outlines of stuff; None for no outlines.
    """
    metadata = visualizer.metadata
    stuff_colors = metadata.get("stuff_colors")
    for mask, segment in segments.semantic_masks():
        category = segment["category_id"]
        visualizer.draw_binary_mask(
            mask,
            color=[x / 255 for x in stuff_colors[category]] if stuff_colors else None,
            edge_color=edge_color,
            text=metadata.stuff_classes[category],
            alpha=alpha,
            area_threshold=area_threshold,
        )
    things = list(segments.instance_masks())
    masks, info = [mask for mask, _ in things], [segment for _, segment in things]
    classes = [segment["category_id"] for segment in info]
    scores = [x["score"] for x in info] if all("score" in x for x in info) else None
    crowds = [segment.get("iscrowd", 0) for segment in info]
    return visualizer.overlay_instances(
        masks=masks,
        labels=create_text_labels(classes, scores, metadata.get("thing_classes"), crowds),
        assigned_colors=colors_of(classes, masks),
        alpha=alpha,
    )
