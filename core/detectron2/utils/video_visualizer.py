"""Visualization of predictions on video frames, with stable colours per object."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as mask_util

from detectron2.structures import Instances
from detectron2.utils._drawing import VisImage
from detectron2.utils._panoptic import PanopticPrediction, draw_panoptic
from detectron2.utils.colormap import (
    colormap,
    random_color,
    random_colors,  # noqa: F401
)
from detectron2.utils.visualizer import (
    ColorMode,
    Visualizer,
    _create_text_labels,
    _PanopticPrediction,  # noqa: F401
)

MIN_OVERLAP = 0.5  # IoU between consecutive frames to count as the same object
FRAMES_TO_LIVE = 8  # an undetected object keeps its colour for this many frames
MAX_NUM_IDS = 74


@dataclass
class _DetectedInstance:
    """An object of one frame: where it is, and the colour to pass on."""

    label: int
    bbox: Any  # x0, y0, x1, y1, or None
    mask_rle: dict[str, Any] | None
    color: Any = None
    ttl: int = FRAMES_TO_LIVE


class VideoVisualizer:
    """Draws the frames of one video, one after the other.

    Objects of one class that overlap with themselves in the frame before keep their colour; where
    a tracker has given the predictions an ``ID``, the colour follows the ID.

    Args:
        metadata: of the data set, as for :class:`Visualizer`. ``max_num_instances`` limits the IDs
            per frame (74); an object is drawn once its ``ID_period`` exceeds ``period_threshold``.
        instance_mode: ``ColorMode.IMAGE`` or ``ColorMode.IMAGE_BW``.
    """

    def __init__(self, metadata: Any, instance_mode: ColorMode = ColorMode.IMAGE) -> None:
        assert instance_mode in (ColorMode.IMAGE, ColorMode.IMAGE_BW), (
            f"VideoVisualizer colours by object: use ColorMode.IMAGE or IMAGE_BW, not "
            f"{instance_mode}."
        )
        self.metadata, self._instance_mode = metadata, instance_mode
        self._old_instances: list[_DetectedInstance] = []
        self._max_num_instances = metadata.get("max_num_instances", MAX_NUM_IDS)
        self._assigned_colors: dict[Any, int] = {}

    def draw_instance_predictions(self, frame: np.ndarray, predictions: Instances) -> VisImage:
        """Draw the detections of a frame; boxes only where there are no masks.

        Args:
            frame: (H, W, 3) RGB in [0, 255].
            predictions: see :meth:`Visualizer.draw_instance_predictions`; optionally with ``ID``,
                ``ID_period`` and ``COLOR``, lists of one entry per object.
        """
        found = predictions.to("cpu")
        fields = found.get_fields()
        boxes = found.pred_boxes.tensor.numpy() if found.has("pred_boxes") else None
        masks: Any = np.asarray(found.pred_masks) if found.has("pred_masks") else None
        classes = found.pred_classes.tolist() if found.has("pred_classes") else None
        names = self.metadata.get("thing_classes")
        labels = _create_text_labels(classes, fields.get("scores"), names)
        colors = self._colors_of(found, boxes, masks, classes)
        threshold = self.metadata.get("period_threshold", 0)
        periods = fields.get("ID_period", [threshold + 1] * len(found))
        shown = [i for i, period in enumerate(periods) if period > threshold]

        visualizer = Visualizer(frame, self.metadata)
        grey = self._instance_mode is ColorMode.IMAGE_BW
        if grey:
            covered = None if masks is None else masks.any(axis=0)
            visualizer.output.reset_image(visualizer._create_grayscale_image(covered))
        return visualizer.overlay_instances(
            boxes=boxes[shown] if boxes is not None and masks is None else None,
            masks=None if masks is None else masks[shown],
            labels=None if labels is None else [labels[i] for i in shown],
            assigned_colors=[colors[i] for i in shown],
            alpha=0.3 if grey else 0.5,
        )

    def draw_sem_seg(
        self, frame: np.ndarray, sem_seg: Any, area_threshold: float | None = None
    ) -> VisImage:
        """Draw the label map of a frame; see :meth:`Visualizer.draw_sem_seg`."""
        return Visualizer(frame, self.metadata).draw_sem_seg(sem_seg, area_threshold)

    def draw_panoptic_seg_predictions(
        self,
        frame: np.ndarray,
        panoptic_seg: Any,
        segments_info: Sequence[dict[str, Any]] | None,
        area_threshold: float | None = None,
        alpha: float = 0.5,
    ) -> VisImage:
        """Draw the panoptic segmentation of a frame; see :meth:`Visualizer.draw_panoptic_seg`."""
        visualizer = Visualizer(frame, self.metadata)
        segments = PanopticPrediction(panoptic_seg, segments_info, self.metadata)
        if self._instance_mode is ColorMode.IMAGE_BW:
            covered = segments.non_empty_mask()
            visualizer.output.reset_image(visualizer._create_grayscale_image(covered))

        def colors_of(classes: list[int], masks: list[np.ndarray]) -> list[Any]:
            return self._assign_colors(_detected(classes, None, masks))

        return draw_panoptic(visualizer, segments, colors_of, area_threshold, alpha)

    def _colors_of(
        self, found: Instances, boxes: Any, masks: Any, classes: list[int] | None
    ) -> list[Any]:
        """One colour per detection: the given one, that of its ID, or that of the frame before."""
        if found.has("COLOR"):
            return list(found.COLOR)
        if found.has("ID"):
            return self._assign_colors_by_id(found)
        return self._assign_colors(_detected(classes or [0] * len(found), boxes, masks))

    def _assign_colors(self, instances: list[_DetectedInstance]) -> list[Any]:
        """Give all instances a colour, and remember them for the next frame."""
        old = self._old_instances
        overlaps = _overlaps(old, instances)
        lost = dict(enumerate(old))
        for flat in np.argsort(-overlaps, axis=None):
            before, now = np.unravel_index(flat, overlaps.shape)
            if overlaps[before, now] <= MIN_OVERLAP:
                break
            if before in lost and instances[now].color is None:
                instances[now].color = lost.pop(int(before)).color
        for waiting in lost.values():
            waiting.ttl -= 1
        kept = [waiting for waiting in lost.values() if waiting.ttl > 0]
        taken = {tuple(x.color) for x in (*instances, *kept) if x.color is not None}
        free = (color for color in colormap(rgb=True, maximum=1) if tuple(color) not in taken)
        for instance in instances:
            if instance.color is None:
                instance.color = next(free, None)
            if instance.color is None:  # more objects than colours
                instance.color = random_color(rgb=True, maximum=1)
        self._old_instances = [*instances, *kept]
        return [instance.color for instance in instances]

    def _assign_colors_by_id(self, instances: Instances) -> list[Any]:
        """The colours of the instances' IDs; those of IDs that are gone become free."""
        ids = [i.item() if hasattr(i, "item") else i for i in instances.ID]
        self._assigned_colors = {i: c for i, c in self._assigned_colors.items() if i in set(ids)}
        palette = colormap(rgb=True, maximum=1)
        for new in ids:
            if new not in self._assigned_colors:
                taken = set(self._assigned_colors.values())
                free = next((i for i in range(self._max_num_instances) if i not in taken), None)
                assert free is not None, (
                    f"A frame has more than {self._max_num_instances} IDs: set max_num_instances "
                    "in the metadata."
                )
                self._assigned_colors[new] = free
        return [palette[self._assigned_colors[i] % len(palette)] for i in ids]


def _detected(classes: Sequence[int], boxes: Any, masks: Any) -> list[_DetectedInstance]:
    """Instances by box or, without boxes, by mask (H, W)."""
    if boxes is not None:
        return [_DetectedInstance(c, box, None) for c, box in zip(classes, boxes, strict=True)]
    codes = [mask_util.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    return [_DetectedInstance(c, None, code) for c, code in zip(classes, codes, strict=True)]


def _overlaps(old: list[_DetectedInstance], new: list[_DetectedInstance]) -> np.ndarray:
    """(old, new) IoU of the boxes or else of the masks; 0 between different classes."""
    ious = np.zeros((len(old), len(new)))
    for row, before in enumerate(old):
        for column, now in enumerate(new):
            if before.label == now.label:
                ious[row, column] = _overlap(before, now)
    return ious


def _overlap(a: _DetectedInstance, b: _DetectedInstance) -> float:
    if a.bbox is None or b.bbox is None:
        both_masks = a.mask_rle is not None and b.mask_rle is not None
        return float(mask_util.iou([a.mask_rle], [b.mask_rle], [0])[0, 0]) if both_masks else 0.0
    low, high = np.maximum(a.bbox[:2], b.bbox[:2]), np.minimum(a.bbox[2:], b.bbox[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(np.maximum(x.bbox[2:] - x.bbox[:2], 0))) for x in (a, b)]
    return common / max(sum(areas) - common, 1e-9)
