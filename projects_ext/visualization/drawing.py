"""Ground truth drawn on its image, before or after augmentation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from detectron2.data.detection_utils import read_image
from detectron2.utils.visualizer import Visualizer
from projects_ext.data.labels import IGNORE_LABEL, read_label_map
from projects_ext.data.palette import distinct_colours
from projects_ext.data.reading import explain
from projects_ext.evaluation.panels import legend_of, overlay, side_by_side

from .sources import DataSet

MIN_WIDTH = 480
"""Smaller images are enlarged to this width, so that text can be read."""
OPACITY = 0.6
STRIPE = (190, 190, 190)


class Drawing:
    """Draws the images of a data set.

    Args:
        data: tells the names and colours of the classes.
    """

    def __init__(self, data: DataSet) -> None:
        self._data = data
        colours = data.metadata.get("stuff_colors") or distinct_colours(data.classes)
        self._colours = np.array(colours, dtype=np.uint8).reshape(-1, 3)

    def annotation(self, record: Mapping[str, Any]) -> Image.Image:
        """Draw a record's annotations on its image, as they are stored.

        Raises:
            UserError: the image or the label map cannot be read.
        """
        image = read_rgb(record)
        if self._data.is_semantic:
            return self._label_map(image, read_label_map(record["sem_seg_file_name"]))
        drawn = Visualizer(image, self._data.metadata, scale=_scale(image))
        return Image.fromarray(drawn.draw_dataset_dict(dict(record)).get_image())

    def sample(self, image: np.ndarray, sample: Mapping[str, Any]) -> Image.Image:
        """Draw what a data set mapper made.

        Args:
            image: (H, W, 3) uint8, RGB.
            sample: with ``instances`` (``gt_classes``, ``gt_boxes``, ``gt_masks``, …) or
                ``sem_seg`` (H, W).
        """
        if "sem_seg" in sample and "instances" not in sample:
            labels = np.asarray(sample["sem_seg"]).astype(np.int64)
            unknown = (labels < 0) | (labels >= len(self._data.classes))
            return self._label_map(image, np.where(unknown, 255, labels).astype(np.uint8))
        visualizer = Visualizer(image, self._data.metadata, scale=_scale(image))
        fields = sample["instances"].get_fields() if "instances" in sample else {}
        names = self._data.classes
        texts = [names[i] if names else str(int(i)) for i in fields.get("gt_classes", ())]
        drawn = visualizer.overlay_instances(
            labels=texts or None,
            boxes=fields.get("gt_boxes"),
            masks=fields.get("gt_masks"),
            keypoints=fields.get("gt_keypoints"),
        )
        return Image.fromarray(drawn.get_image())

    def _label_map(self, image: np.ndarray, labels: np.ndarray) -> Image.Image:
        """The image, and the colours of its labels over it; what is ignored is striped."""
        drawn = overlay(image, labels, self._colours, OPACITY)
        legend = legend_of([labels], self._data.classes, self._colours)
        ignored = labels == IGNORE_LABEL
        if ignored.any():
            drawn[ignored & stripes(labels.shape)] = STRIPE
            legend.append(("ignored (striped)", STRIPE))
        return side_by_side([("image", image), ("labels", drawn)], legend)


def stripes(shape: tuple[int, ...]) -> np.ndarray:
    """Diagonal stripes: (H, W), half of it True."""
    height, width = shape
    return (np.arange(height)[:, None] + np.arange(width)) // 3 % 2 == 0


def read_rgb(record: Mapping[str, Any]) -> np.ndarray:
    """A record's image, (H, W, 3) uint8.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return read_image(record["file_name"], format="RGB")
    except Exception as error:
        found = explain(dict(record), error)
        if found is None:
            raise
        raise found from error


def _scale(image: np.ndarray) -> float:
    return max(1.0, MIN_WIDTH / image.shape[1])
