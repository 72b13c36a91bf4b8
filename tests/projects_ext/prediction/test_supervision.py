"""Predictions in supervision's form, by its own reader of Detectron2's results."""

from pathlib import Path

import numpy as np
import pytest
import supervision as sv
from PIL import Image

from projects_ext import Predictor
from tests.projects_ext.prediction.models import CLASSES, config_path, write_checkpoint


@pytest.mark.parametrize("name", ["mask", "carafe/faster_rcnn_carafe_shapes.py"])
def test_detections_of_supervision(
    name: str, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    weights = write_checkpoint(name, tmp_path, shapes_overrides)
    predictor = Predictor(config_path(name), weights, "cpu", confidence_threshold=0.0)
    path = next((shapes / "val").iterdir())
    instances = predictor(path)
    detections = sv.Detections.from_detectron2({"instances": instances})
    assert len(detections) == len(instances) > 1
    assert np.array_equal(detections.xyxy, instances.pred_boxes.tensor.numpy())
    assert np.array_equal(detections.confidence, instances.scores.numpy())
    assert np.array_equal(detections.class_id, instances.pred_classes.numpy())
    if instances.has("pred_masks"):
        assert np.array_equal(detections.mask, instances.pred_masks.numpy())
    else:
        assert detections.mask is None
    names = [predictor.class_names[index] for index in detections.class_id]
    assert set(names) <= set(CLASSES)
    image = np.asarray(Image.open(path).convert("RGB")).copy()
    drawn = sv.BoxAnnotator().annotate(image.copy(), detections)
    assert drawn.shape == image.shape
    assert (drawn != image).any()
    predictor.confidence_threshold = 1.0
    assert len(sv.Detections.from_detectron2({"instances": predictor(path)})) == 0
