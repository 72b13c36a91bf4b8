"""CondInst leaves Python whole: real runtimes, several sizes, none and one detection."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from projects_ext.deploy import Detections, ExportedModel
from projects_ext.deploy.metadata import Metadata
from tests.small_systems import image

from .programs import NAMES, as_array, condinst, condinst_program, pixels, write_onnx

SIZES = ((96, 128), (70, 64), (161, 200))


def eager(model: Any, given: torch.Tensor) -> Any:
    with torch.no_grad():
        return model([{"image": given}])[0]["instances"]


def assert_same(found: Detections, expected: Any) -> None:
    """The same detections in the same order."""
    assert found.masks is not None
    assert len(found) == len(expected)
    assert found.masks.shape == expected.pred_masks.shape
    np.testing.assert_array_equal(found.classes, expected.pred_classes)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.boxes, expected.pred_boxes.tensor, rtol=0, atol=2e-3)
    if len(found):
        assert (found.masks != expected.pred_masks.numpy()).mean() < 1e-4


def assert_nearly_same(found: Detections, expected: Any) -> None:
    """The same but for few: rounding decides whether a box that overlaps another just so stays."""
    assert found.masks is not None
    assert abs(len(found) - len(expected)) <= 1
    boxes = expected.pred_boxes.tensor.numpy()
    apart = np.abs(boxes[:, None] - found.boxes).max(axis=2)
    apart[expected.pred_classes.numpy()[:, None] != found.classes] = np.inf
    partner, near = apart.argmin(axis=1), apart.min(axis=1) < 5e-3
    assert near.mean() > 0.9
    partner = partner[near]
    scores, masks = expected.scores.numpy()[near], expected.pred_masks.numpy()[near]
    np.testing.assert_allclose(found.scores[partner], scores, rtol=0, atol=1e-5)
    assert 0.1 < masks.mean() < 0.9
    assert (found.masks[partner] != masks).mean() < 1e-4


def result_of(outputs: Any, size: tuple[int, int], stride: int) -> Detections:
    """What the outputs of a runtime mean."""
    from projects_ext.deploy.paste import paste_maps

    boxes, scores, classes, masks, count, seen = (np.asarray(x) for x in outputs)
    number = int(count)
    assert (scores[number:] == -1).all()
    pasted = paste_maps(masks[:number], stride, (int(seen[0]), int(seen[1])), size)
    return Detections(size, boxes[:number], scores[:number], classes[:number], pasted)


@pytest.fixture(scope="module")
def model() -> Any:
    return condinst()


@pytest.fixture(scope="module")
def onnx_file(model: Any, tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("condinst") / "model.onnx"
    stride = model.mask_head.out_stride
    metadata = Metadata("instances", NAMES, model.selection.max_detections, 0.05, stride)
    return write_onnx(condinst_program(model), path, metadata, SIZES[0])


@pytest.mark.parametrize("centerness_first", [False, True])
@pytest.mark.parametrize("size", [*SIZES, (33, 21)])
def test_the_program_finds_what_the_model_finds(size: Any, centerness_first: bool) -> None:
    model = condinst(centerness_first)
    given = image("a", *size)
    with torch.no_grad():
        outputs = condinst_program(model)(pixels(given))
    expected = eager(model, given)
    assert 10 < len(expected)
    assert_same(result_of(outputs, size, model.mask_head.out_stride), expected)


@pytest.mark.parametrize(("threshold", "count"), [(0.99999, 0), (None, 1)])
def test_none_and_one_detection(threshold: float | None, count: int) -> None:
    model = condinst(max_detections=40)
    given = image("a")
    if threshold is None:
        # Between the two best class probabilities.
        best = eager(condinst(centerness_first=True), given).scores
        model = condinst(centerness_first=True, score_thresh=float(best[:2].mean()))
    else:
        model = condinst(score_thresh=threshold)
    with torch.no_grad():
        outputs = condinst_program(model)(pixels(given))
    expected = eager(model, given)
    assert len(expected) == count
    assert_same(result_of(outputs, (96, 128), model.mask_head.out_stride), expected)


@pytest.mark.parametrize("size", [*SIZES, (33, 21)])
def test_onnx_runtime_at_several_sizes(onnx_file: Path, model: Any, size: Any) -> None:
    given = image("b", *size)
    expected = eager(model, given)
    assert len(expected) > 10
    found = ExportedModel(onnx_file, array_format="RGB")(as_array(given))
    assert_nearly_same(found, expected)
