"""Label maps leave Python whole: one view and several, at several sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch

from projects_ext.deploy import ExportedModel
from projects_ext.deploy.formats import export
from projects_ext.deploy.metadata import Metadata
from projects_ext.errors import UserError
from projects_ext.semantic import build_inference
from projects_ext.semantic.export import FixedSegmentor
from projects_ext.semantic.segmentor import MULTI_SCALE_KEY
from tests.projects_ext.semantic.models import CLASSES, small_model
from tests.small_systems import image

from .programs import Unresized, as_array, pixels

SIZES = ((96, 128), (70, 65), (161, 200))
NAMES = ("background", *map(str, range(1, CLASSES)))


def segmentor(*scales: float, align_corners: bool = False) -> Any:
    """One that predicts at so many scales, too, mirrored as well."""
    model = small_model()
    if scales:
        model.multi_scale = build_inference(scales=scales, flip=True, align_corners=align_corners)
    return model


def program(model: Any) -> FixedSegmentor:
    return FixedSegmentor(model, Unresized(model)).eval()


def eager(model: Any, given: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        found = model([{"image": given}])[0]
    return found.get(MULTI_SCALE_KEY, found["sem_seg"]).argmax(dim=0).numpy()


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert len(np.unique(expected)) > 1
    assert (found != expected).mean() < 2e-3


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (9, 100)])
@pytest.mark.parametrize("scales", [(), (0.5, 0.75, 1.0, 1.75), (1.3,)])
def test_the_program_gives_the_models_labels(size: Any, scales: Any) -> None:
    model, given = segmentor(*scales), image("a", *size)
    with torch.no_grad():
        (found,) = program(model)(pixels(given))
    assert found.dtype == torch.uint8
    expected = eager(model, given)
    assert found.shape == expected.shape
    assert (found.numpy() != expected).mean() < 2e-3


@pytest.fixture(scope="module", params=[(), (0.75,)], ids=["plain", "smaller and mirrored"])
def exported(request: Any, tmp_path_factory: Any) -> tuple[Any, Path]:
    model = segmentor(*request.param)
    path = tmp_path_factory.mktemp("semantic") / "model.onnx"
    export(program(model), Metadata("semantic", NAMES), "onnx", path)
    return model, path


def test_runtimes_at_several_sizes(exported: Any) -> None:
    model, path = exported
    own = ExportedModel(path, array_format="RGB")
    assert own.kind == "semantic"
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size in SIZES:
        given = image("b", *size)
        expected = eager(model, given)
        found = own(as_array(given))
        assert found.dtype == np.int64
        assert_same(found, expected)
        assert_same(next(iter(compiled(as_array(given)).values())), expected)


def test_label_maps_have_no_confidence_threshold(exported: Any) -> None:
    with pytest.raises(UserError, match="no scores of objects: leave it out"):
        ExportedModel(exported[1], confidence_threshold=0.5)


@pytest.mark.parametrize("multi", [False, True])
def test_windows_are_refused_with_what_to_set_instead(multi: bool) -> None:
    model = small_model()
    windows = {"crop": (32, 32), "stride": (16, 16)}
    model.inference = build_inference(**windows)
    if multi:
        model.multi_scale = build_inference(scales=(1.0, 2.0), **windows)
    with pytest.raises(UserError, match="model.inference.crop=null model.inference.stride=null"):
        program(model)
