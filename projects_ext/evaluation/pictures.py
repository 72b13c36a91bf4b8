"""Pictures of predictions beside the ground truth, made while a model is evaluated."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import read_image
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.visualizer import Visualizer

_HIGHEST = 4096
"""Pixels: images are not enlarged beyond this height. A thin one would grow by its width alone."""


class PredictionPictures(DatasetEvaluator):
    """Draw the first images of a data set: ground truth on the left, predictions on the right.

    Args:
        dataset_name: a registered data set with instance annotations.
        output_dir: the pictures go to its folder ``pictures``.
        count: how many images; 0 for none.
        score_threshold: less certain predictions are not drawn.
        min_width: smaller images are enlarged to this width, so that the text can be read, unless
            that makes them higher than 4096 pixels.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str,
        count: int = 8,
        score_threshold: float = 0.5,
        min_width: int = 480,
    ) -> None:
        self.folder = Path(output_dir) / "pictures"
        self.score_threshold = score_threshold
        self.min_width = min_width
        self.metadata = MetadataCatalog.get(dataset_name)
        # Each process draws what it gets of the first images.
        first = DatasetCatalog.get(dataset_name)[:count] if count else []
        self.records = {record["image_id"]: record for record in first}

    def reset(self) -> None:
        """Make the folder."""
        if self.records:
            self.folder.mkdir(parents=True, exist_ok=True)

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Draw those of ``inputs`` that are among the first images."""
        for given, predicted in zip(inputs, outputs, strict=True):
            record = self.records.get(given["image_id"])
            if record is not None:
                picture = self._draw(record, predicted["instances"].to("cpu"))
                name = f"{Path(record['file_name']).stem}.png"
                Image.fromarray(picture).save(self.folder / name)

    def evaluate(self) -> dict[str, Any]:
        """Nothing is measured; wait for the other processes' pictures."""
        comm.synchronize()
        return {}

    def _draw(self, record: dict[str, Any], instances: Any) -> np.ndarray:
        image = read_image(record["file_name"], format="RGB")
        height, width = image.shape[:2]
        scale = max(1.0, min(self.min_width / width, _HIGHEST / height))
        truth = Visualizer(image, self.metadata, scale=scale).draw_dataset_dict(record)
        certain = instances[instances.scores >= self.score_threshold]
        drawn = Visualizer(image, self.metadata, scale=scale).draw_instance_predictions(certain)
        halves = [truth.get_image(), drawn.get_image()]
        gap = np.full((halves[0].shape[0], 8, 3), 255, dtype=np.uint8)
        return np.concatenate([halves[0], gap, halves[1]], axis=1)
