"""Which model the command line names, and what it needs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from detectron2.structures import Boxes, Instances
from projects_ext.deploy import Detections
from projects_ext.errors import UserError
from projects_ext.prediction.arguments import parse_arguments
from projects_ext.prediction.models import class_colours, load_model
from projects_ext.prediction.objects import Objects
from tests.projects_ext.prediction.models import config_path, write_checkpoint


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "there is no model file"),
        (["--config-file", "x.py"], "--config-file has no effect on .*model.onnx"),
        (["--opts", "a=1"], "--opts has no effect on .*model.onnx"),
        (["--device", "tpu"], "--device tpu: an exported model runs on cpu or cuda"),
    ],
)
def test_exported_models(tmp_path: Path, words: list[str], sentence: str) -> None:
    given = ["--weights", str(tmp_path / "model.onnx"), "--input", "x.jpg", *words]
    with pytest.raises(UserError, match=sentence):
        load_model(parse_arguments(given))


def test_both_kinds_of_results_become_the_same_objects() -> None:
    masks = np.zeros((2, 10, 12), dtype=bool)
    masks[0, 2:5, 3:9] = masks[1, 1:, :2] = True
    boxes = np.array([[3, 2, 9, 5], [0, 1, 2, 10]], dtype=np.float32)
    scores, classes = np.array([0.9, 0.5], dtype=np.float32), np.array([1, 0])
    instances = Instances(
        (10, 12), pred_boxes=Boxes(torch.from_numpy(boxes)), scores=torch.from_numpy(scores),
        pred_classes=torch.from_numpy(classes), pred_masks=torch.from_numpy(masks),
    )  # fmt: skip
    ours = Objects.of(instances, 10, 12)
    exported = Objects.of(Detections((10, 12), boxes, scores, classes, masks), 10, 12)
    for found in (ours, exported):
        assert found.boxes.tolist() == boxes.tolist()
        assert found.classes.tolist() == [1, 0]
        assert found.masks is not None
        for crop, mask in zip(found.masks, masks, strict=True):
            assert np.array_equal(crop.within(0, 0, 12, 10), mask)
    instances.remove("pred_masks")
    assert Objects.of(instances, 10, 12).masks is None


def test_the_usual_threshold_and_the_colours(shapes_overrides: list[str], tmp_path: Path) -> None:
    weights = write_checkpoint("mask", tmp_path, shapes_overrides)
    words = ["--config-file", config_path("mask"), "--weights", weights, "--device", "cpu"]
    model = load_model(parse_arguments([*words, "--input", "x.jpg"]))
    assert model.confidence_threshold == 0.5
    assert len(set(class_colours(model))) == 5
    given = parse_arguments([*words, "--input", "x.jpg", "--confidence-threshold", "0.25"])
    assert load_model(given).confidence_threshold == 0.25
