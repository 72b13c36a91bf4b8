"""Pictures of predictions and of annotations: boxes, masks, label maps and text on an image."""

from collections.abc import Sequence
from enum import Enum, unique
from typing import Any

import numpy as np
import torch
from PIL import Image

from detectron2.data import MetadataCatalog
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks
from detectron2.structures.keypoints import Keypoints  # noqa: F401
from detectron2.structures.rotated_boxes import RotatedBoxes  # noqa: F401
from detectron2.utils._drawing import Color, Rect, VisImage
from detectron2.utils._masks import GenericMask
from detectron2.utils._panoptic import PanopticPrediction, draw_panoptic, rgb_to_id
from detectron2.utils._panoptic import create_text_labels as _create_text_labels
from detectron2.utils._shapes import ShapeDrawer
from detectron2.utils.colormap import colormap, random_color
from detectron2.utils.file_io import PathManager

__all__ = ["ColorMode", "GenericMask", "VisImage", "Visualizer", "random_color"]

OFF_WHITE = (1.0, 1.0, 240 / 255)
_LEFT_OUT = {
    "draw_and_connect_keypoints": "keypoints",
    "draw_rotated_box_with_label": "rotated boxes",
    "overlay_rotated_instances": "rotated boxes",
}

_PanopticPrediction = PanopticPrediction  # the name that clients know


@unique
class ColorMode(Enum):
    """How colours are chosen for instances.

    ``IMAGE``: a different one for each instance. ``SEGMENTATION``: that of the class, where the
    metadata has ``thing_colors``. ``IMAGE_BW``: as ``IMAGE``, with the rest of the image in grey.
    """

    IMAGE = 0
    SEGMENTATION = 1
    IMAGE_BW = 2


class Visualizer(ShapeDrawer):
    """Draws on a copy of an image; every method returns the :class:`VisImage` drawn on.

    Coordinates are pixels of the image, whatever the scale of the picture.

    Args:
        img_rgb: (H, W, 3) RGB, values in [0, 255]; a grey (H, W) or (H, W, 1) image works too.
        metadata: of the data set: ``thing_classes``, ``thing_colors``, ``stuff_classes``,
            ``stuff_colors`` are used where it has them.
        scale: size of the picture relative to the image; larger than 1 for small images.
        instance_mode: how instances are coloured.
        font_size_scale: factor on the size of all text.
    """

    def __init__(
        self,
        img_rgb: Any,
        metadata: Any = None,
        scale: float = 1.0,
        instance_mode: ColorMode = ColorMode.IMAGE,
        font_size_scale: float = 1.0,
    ) -> None:
        super().__init__(img_rgb, scale, font_size_scale)
        self.metadata = MetadataCatalog.get("__nonexist__") if metadata is None else metadata
        self.cpu_device = torch.device("cpu")
        self._instance_mode = instance_mode

    def __getattr__(self, name: str) -> Any:
        """Say what is left out of this implementation on purpose."""
        what = (
            f"; it draws no {_LEFT_OUT[name]}, for which use upstream" if name in _LEFT_OUT else ""
        )
        raise AttributeError(f"detectron2-core's Visualizer has no {name}{what}.")

    def draw_instance_predictions(self, predictions: Instances, jittering: bool = True) -> VisImage:
        """Draw the detections of an image.

        Args:
            predictions: with any of ``pred_boxes``, ``pred_masks`` (N, H, W), ``scores``,
                ``pred_classes``.
            jittering: vary the classes' colours a little from instance to instance, in the mode
                ``SEGMENTATION``.
        """
        found = predictions.to(self.cpu_device)
        boxes = found.pred_boxes if found.has("pred_boxes") else None
        scores = found.scores.tolist() if found.has("scores") else None
        classes = found.pred_classes.tolist() if found.has("pred_classes") else None
        masks = None
        if found.has("pred_masks"):
            pixels = np.asarray(found.pred_masks)
            masks = [GenericMask(m, self.output.height, self.output.width) for m in pixels]
        if self._instance_mode is ColorMode.IMAGE_BW:
            covered = np.any([m.mask for m in masks], axis=0) if masks else None
            self.output.reset_image(self._create_grayscale_image(covered))
        return self.overlay_instances(
            boxes=boxes,
            masks=masks,
            labels=_create_text_labels(classes, scores, self.metadata.get("thing_classes")),
            assigned_colors=self._class_colors(classes, jittering),
            alpha=0.8 if self._instance_mode is ColorMode.SEGMENTATION else 0.5,
        )

    def draw_dataset_dict(self, dic: dict[str, Any]) -> VisImage:
        """Draw the ground truth of an image.

        Args:
            dic: a data set dict with ``annotations``, ``sem_seg`` (a label map) or
                ``sem_seg_file_name``, ``pan_seg`` (RGB) or ``pan_seg_file_name`` and
                ``segments_info``, as far as it has them. Keypoints are not drawn.
        """
        annotations = dic.get("annotations")
        if annotations:
            self._draw_annotations(annotations)
        labels = dic.get("sem_seg")
        if labels is None and "sem_seg_file_name" in dic:
            with PathManager.open(dic["sem_seg_file_name"], "rb") as file:
                labels = np.asarray(Image.open(file), dtype=np.int64)
        if labels is not None:
            self.draw_sem_seg(labels, area_threshold=0, alpha=0.5)
        panoptic = dic.get("pan_seg")
        if panoptic is None and "pan_seg_file_name" in dic:
            with PathManager.open(dic["pan_seg_file_name"], "rb") as file:
                panoptic = np.asarray(Image.open(file).convert("RGB"))
        if panoptic is not None:
            ids = rgb_to_id(np.asarray(panoptic))
            self.draw_panoptic_seg(ids, dic["segments_info"], area_threshold=0, alpha=0.5)
        return self.output

    def _draw_annotations(self, annotations: list[dict[str, Any]]) -> None:
        boxes = None
        if all("bbox" in a for a in annotations):
            modes = (a.get("bbox_mode", BoxMode.XYWH_ABS) for a in annotations)
            boxes = np.array(
                [
                    BoxMode.convert([float(x) for x in a["bbox"]], mode, BoxMode.XYXY_ABS)
                    for a, mode in zip(annotations, modes, strict=True)
                ]
            )
        masks = None
        if all("segmentation" in a for a in annotations):
            masks = [a["segmentation"] for a in annotations]
        classes = [a["category_id"] for a in annotations]
        crowds = [a.get("iscrowd", 0) for a in annotations]
        names = self.metadata.get("thing_classes")
        self.overlay_instances(
            boxes=boxes,
            masks=masks,
            labels=_create_text_labels(classes, None, names, crowds),
            assigned_colors=self._class_colors(classes, jittering=True),
        )

    def draw_sem_seg(
        self,
        sem_seg: Any,
        area_threshold: float | None = None,
        alpha: float = 0.8,
        draw_text: bool = True,
        edge_color: Color | None = OFF_WHITE,
    ) -> VisImage:
        """Draw a label map, with the name of each class in its largest area.

        Args:
            sem_seg: (H, W) of contiguous classes; what is no class (such as 255) stays as it is.
            area_threshold: leave out classes with fewer pixels.
            alpha: opacity in [0, 1].
            draw_text: write the names.
            edge_color: of the outlines; None for no outlines.
        """
        labels = np.asarray(sem_seg.cpu() if isinstance(sem_seg, torch.Tensor) else sem_seg)
        names = self.metadata.get("stuff_classes")
        colors = self.metadata.get("stuff_colors")
        present, counts = np.unique(labels, return_counts=True)
        limit = len(names) if names else 255
        order = [
            label
            for label, count in sorted(
                zip(present.tolist(), counts.tolist(), strict=True), key=lambda x: -x[1]
            )
            if 0 <= label < limit and count >= (area_threshold or 0)
        ]
        palette = colormap(rgb=True, maximum=1)
        drawn = []
        for label in order:
            color = palette[label % len(palette)]
            if colors and label < len(colors):
                color = np.asarray(colors[label]) / 255
            drawn.append((label, color))
            self.draw_binary_mask(labels == label, color, edge_color=edge_color, alpha=alpha)
        if draw_text:  # at last, so that no area covers another's name
            for label, color in drawn:
                text = names[label] if names else str(label)
                self._draw_text_in_mask(labels == label, text, color)
        return self.output

    def draw_panoptic_seg(
        self,
        panoptic_seg: Any,
        segments_info: Sequence[dict[str, Any]] | None,
        area_threshold: float | None = None,
        alpha: float = 0.7,
    ) -> VisImage:
        """Draw a panoptic segmentation: stuff first, things above it.

        Args:
            panoptic_seg: (H, W) of segment ids.
            segments_info: dicts with ``id``, ``category_id``, ``isthing``, optionally ``score`` and
                ``iscrowd``; None where ids are ``category_id * label_divisor + instance``.
            area_threshold: leave out stuff of fewer pixels.
            alpha: opacity in [0, 1].
        """
        segments = PanopticPrediction(panoptic_seg, segments_info, self.metadata)
        if self._instance_mode is ColorMode.IMAGE_BW:
            self.output.reset_image(self._create_grayscale_image(segments.non_empty_mask()))
        own = self.metadata.get("thing_colors")

        def colors_of(classes: list[int], masks: list[np.ndarray]) -> list[Color] | None:
            return [self._jitter(np.asarray(own[c]) / 255) for c in classes] if own else None

        return draw_panoptic(self, segments, colors_of, area_threshold, alpha, OFF_WHITE)

    draw_panoptic_seg_predictions = draw_panoptic_seg

    def overlay_instances(
        self,
        *,
        boxes: Any = None,
        labels: Sequence[str] | None = None,
        masks: Any = None,
        keypoints: Any = None,
        assigned_colors: Sequence[Color] | None = None,
        alpha: float = 0.5,
    ) -> VisImage:
        """Draw N instances, large ones first, and their labels above all of them.

        Args:
            boxes: ``Boxes`` or (N, 4) of x0, y0, x1, y1.
            labels: N texts.
            masks: ``BitMasks``, ``PolygonMasks``, or N masks in any form ``GenericMask`` takes.
            keypoints: not supported; None.
            assigned_colors: N colours; by default all differ.
            alpha: opacity of the masks.
        """
        if keypoints is not None:
            raise NotImplementedError(
                "detectron2-core's Visualizer draws no keypoints, for which use upstream."
            )
        rects = None if boxes is None else self._convert_boxes(boxes)
        shapes = None if masks is None else self._convert_masks(masks)
        counts = {len(part) for part in (rects, shapes, labels) if part is not None}
        assert len(counts) <= 1, f"Boxes, masks and labels differ in number: {sorted(counts)}."
        num_instances = counts.pop() if counts else 0
        if not num_instances or (rects is None and shapes is None):
            return self.output
        palette = colormap(rgb=True, maximum=1)
        colors = assigned_colors or [palette[i % len(palette)] for i in range(num_instances)]

        if rects is not None:
            areas = np.prod(rects[:, 2:] - rects[:, :2], axis=1)
        else:
            areas = np.array([shape.area() for shape in shapes or ()])
        order = np.argsort(-areas, kind="stable").tolist()
        for i in order:
            if shapes is not None:
                self._draw_mask(shapes[i], colors[i], alpha)
            if rects is not None:
                self.draw_box(rects[i], edge_color=colors[i], alpha=0.9)
        if labels is not None:
            placed: list[Rect] = []
            for i in reversed(order):  # small instances have the first choice of a place
                rect = rects[i] if rects is not None else None
                shape = shapes[i] if shapes is not None else None
                self._draw_label(labels[i], rect, shape, colors[i], placed)
        return self.output

    def _class_colors(self, classes: list[int] | None, jittering: bool) -> list[Color] | None:
        """The classes' own colours in the mode SEGMENTATION, otherwise None."""
        colors = self.metadata.get("thing_colors")
        if self._instance_mode is not ColorMode.SEGMENTATION or not colors or classes is None:
            return None
        own = [np.asarray(colors[category], dtype=np.float64) / 255 for category in classes]
        return [self._jitter(color) if jittering else color for color in own]

    def _jitter(self, color: np.ndarray) -> np.ndarray:
        """A colour near the given one, both in [0, 1]."""
        return np.clip(color + np.random.uniform(-0.12, 0.12, size=3), 0, 1)

    def _create_grayscale_image(self, mask: np.ndarray | None = None) -> np.ndarray:
        """The image in grey, in colour where the mask (H, W) is set."""
        grey = np.repeat(self.img.mean(axis=2, keepdims=True), 3, axis=2)
        return grey if mask is None else np.where(np.asarray(mask, bool)[..., None], self.img, grey)

    def _convert_boxes(self, boxes: Any) -> np.ndarray:
        tensor = boxes.tensor if isinstance(boxes, Boxes) else boxes
        values = (
            tensor.detach().cpu().numpy()
            if isinstance(tensor, torch.Tensor)
            else np.asarray(tensor)
        )
        return values.astype(np.float64).reshape(len(values), 4)

    def _convert_masks(self, masks: Any) -> list[GenericMask]:
        """Any collection of masks as a list of GenericMask."""
        size = self.output.height, self.output.width
        if isinstance(masks, PolygonMasks):
            masks = masks.polygons
        elif isinstance(masks, BitMasks):
            masks = masks.tensor
        elif isinstance(masks, torch.Tensor):
            masks = masks.cpu()
        return [m if isinstance(m, GenericMask) else GenericMask(m, *size) for m in masks]


# Upstream's names.
_BLACK, _RED, _OFF_WHITE = (0, 0, 0), (1.0, 0, 0), OFF_WHITE
_SMALL_OBJECT_AREA_THRESH, _LARGE_MASK_AREA_THRESH, _KEYPOINT_THRESHOLD = 1000, 120000, 0.05
