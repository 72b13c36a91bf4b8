"""The model up to the masks of a fixed number of predictions leaves Python."""

import warnings
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from projects_ext.condinst.export import TopPredictor
from tests.small_systems import image

from .test_condinst import small_model

COUNT = 12


@pytest.fixture(scope="module")
def predictor() -> nn.Module:
    model = small_model()
    with torch.no_grad():
        # Predictions that differ, in classes and in boxes.
        for part, gain in (("cls_score", 30), ("bbox_pred", 30), ("controller", 4)):
            model.head.get_submodule(part).weight.mul_(gain)
        model.head.bbox_pred.bias.fill_(2.0)
    return TopPredictor(model, COUNT).eval()


def picture(name: str) -> torch.Tensor:
    return image(name).float()


def assert_same(found: Any, expected: Any) -> None:
    for own, other in zip(found, expected, strict=True):
        own, other = np.asarray(own), np.asarray(other)
        assert own.shape == other.shape
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


def test_the_best_predictions_are_those_that_the_model_detects(predictor: Any) -> None:
    model = predictor.model
    with torch.no_grad():
        best = predictor(picture("a"))
        found = model([{"image": image("a")}])[0]["instances"]
    assert len(best.classes.unique()) > 1
    assert best.masks.shape == (COUNT, 48, 64)
    # The first detection is the best prediction; NMS takes others away.
    assert found.pred_classes[0] == best.classes[0]
    torch.testing.assert_close(found.scores[0], best.scores[0])
    limits = torch.tensor([128.0, 96] * 2)
    clipped = best.boxes[0].clamp(min=0).minimum(limits)
    torch.testing.assert_close(found.pred_boxes.tensor[0], clipped, rtol=1e-4, atol=1e-3)
    assert torch.equal(found.pred_masks[0, 1::2, 1::2], best.masks[0] > 0.5)


def test_exported_program_gives_the_same(predictor: Any) -> None:
    program = torch.export.export(predictor, (picture("a"),))
    with torch.no_grad():
        assert_same(program.module()(picture("b")), predictor(picture("b")))


def test_onnx_runtime_gives_the_same(predictor: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            predictor, (picture("a"),), dynamo=True, verbose=False, input_names=["image"]
        )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    with torch.no_grad():
        expected = predictor(picture("b"))
    assert_same(session.run(None, {"image": picture("b").numpy()}), expected)
