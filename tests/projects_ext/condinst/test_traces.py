"""Whole models that users trace themselves, and the converters that read traces."""

import io
import logging
import warnings
from typing import Any

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from torch import Tensor, nn

from tests.projects_ext.deploy.programs import condinst
from tests.small_systems import image

SIZE = (96, 128)


class Whole(nn.Module):
    """A detector from a tensor to tensors, as users wrap it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:
        found = self.model([{"image": given}])[0]["instances"]
        return found.pred_boxes.tensor, found.scores, found.pred_classes, found.pred_masks


def images() -> list[Tensor]:
    """Images in which the number of detections differs, from fewer to more than in the trace."""
    black = torch.zeros(3, *SIZE, dtype=torch.uint8)
    return [*(image(name, *SIZE) for name in "bac"), black]


def images_of_other_sizes() -> list[Tensor]:
    return [image("d", 170, 200), image("e", 64, 70)]


@pytest.fixture(scope="module")
def whole() -> Whole:
    """With masks that are worked on in several blocks, and a limit that no image reaches."""
    return Whole(condinst(score_thresh=0.99, max_detections=1000)).eval()


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """Exporters warn of much that does not concern these tests."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def assert_same(found: Any, expected: Any, boxes: float = 2e-3) -> None:
    found = [np.asarray(part) for part in found]
    expected = [part.numpy() for part in expected]
    assert [part.shape for part in found] == [part.shape for part in expected]
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=boxes)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found[2], expected[2])
    assert expected[3].any()
    assert (found[3].astype(bool) != expected[3]).mean() < 1e-4


def test_images_have_more_and_fewer_than_the_recorded_one(whole: Whole) -> None:
    first, *others = (len(whole(given)[1]) for given in images())
    assert min(others) < first < max(others)


def test_torch_trace(whole: Whole) -> None:
    traced = torch.jit.trace(whole, (images()[0],), check_trace=False)
    for given in images() + images_of_other_sizes():
        assert_same(traced(given), whole(given), 0)


def test_older_onnx_exporter(whole: Whole) -> None:
    file = io.BytesIO()
    torch.onnx.export(
        whole,
        (images()[0],),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        dynamic_axes={"image": {1: "height", 2: "width"}},
    )
    session = onnxruntime.InferenceSession(file.getvalue())
    for given in images() + images_of_other_sizes():
        assert_same(session.run(None, {"image": given.numpy()}), whole(given))


def test_openvino_of_the_module(whole: Whole) -> None:
    converted = openvino.convert_model(whole, example_input=images()[0])
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for given in images() + images_of_other_sizes():
        found = compiled(given.numpy())
        assert_same([found[index] for index in range(4)], whole(given))
