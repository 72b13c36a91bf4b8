"""Region-based detectors as programs: the model's results, at any size, in every runtime."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from projects_ext import Predictor
from projects_ext.deploy.formats import Outputs, export, runner
from projects_ext.deploy.program import limit_detections, program_of
from projects_ext.deploy.verify import Difference, compare
from projects_ext.errors import UserError
from tests.procedural import procedural_image

from .region_systems import predictor

SIZES = ((96, 128), (50, 61), (170, 120))
SYSTEMS = ("carafe faster", "carafe mask", "groie grid", "gcnet mask")

FRESH = """
import sys, numpy, torch, torchvision
model = torch.jit.load(sys.argv[1])
outputs = model(torch.from_numpy(numpy.load(sys.argv[2])))
numpy.savez(sys.argv[3], *[x.numpy() for x in outputs])
assert not [name for name in sys.modules if name.startswith(("projects_ext", "detectron2"))]
"""


@pytest.fixture(scope="module")
def predictors(tmp_path_factory: Any) -> dict[str, Predictor]:
    folder = tmp_path_factory.mktemp("weights")
    return {name: predictor(name, folder) for name in SYSTEMS}


def pictures() -> list[np.ndarray]:
    """Of several sizes, and a last one that is black."""
    images = [procedural_image(f"{size}", *size) for size in SIZES]
    return [*images, np.zeros((33, 97, 3), dtype=np.uint8)]


def outputs_of(program: Any, image: np.ndarray) -> Outputs:
    with torch.no_grad():
        found = program(torch.from_numpy(image))
    return {name: x.numpy() for name, x in zip(program.OUTPUTS, found, strict=True)}


def assert_equal(found: Difference, boxes: float = 1e-3) -> None:
    assert found.wrong == found.unsteady == 0
    assert found.boxes < boxes
    assert found.scores < 1e-4
    assert found.pixels < 1e-3


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_program_finds_what_the_model_finds(predictors: Any, name: str) -> None:
    program, metadata = program_of(predictors[name])
    counts = []
    for image in pictures():
        outputs = outputs_of(program, image)
        counts.append(int(outputs["count"]))
        assert len(outputs["scores"]) == metadata.max_detections == 30
        assert (outputs["scores"][counts[-1] :] == -1).all()
        assert_equal(compare(name, image, outputs, predictors[name], metadata))
    assert max(counts) > 5


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one_detection(predictors: Any, count: int) -> None:
    chosen = predictors["gcnet mask"]
    head = chosen.model.roi_heads.box_predictor
    before = head.test_score_thresh
    image = pictures()[0]
    best = np.sort(outputs_of(program_of(chosen)[0], image)["scores"])[::-1]
    try:
        head.test_score_thresh = 2.0 if count == 0 else float(best[:2].mean())
        program, metadata = program_of(chosen)
        outputs = outputs_of(program, image)
        assert int(outputs["count"]) == count
        assert_equal(compare("image", image, outputs, chosen, metadata))
    finally:
        head.test_score_thresh = before


@pytest.mark.parametrize("name", ["carafe mask", "groie grid"])
def test_torchscript_runs_where_this_project_is_not(
    predictors: Any, name: str, tmp_path: Path
) -> None:
    program, metadata = program_of(predictors[name])
    path = tmp_path / "model.ts"
    export(program, metadata, "torchscript", path)
    run = runner(path, "torchscript", program.OUTPUTS)
    for image in pictures():
        assert_equal(compare(name, image, run(image), predictors[name], metadata))
    np.save(tmp_path / "image.npy", pictures()[1])
    files = [str(tmp_path / file) for file in ("model.ts", "image.npy", "out.npz")]
    subprocess.run([sys.executable, "-c", FRESH, *files], check=True, cwd=tmp_path, env={})
    with np.load(tmp_path / "out.npz") as fresh:
        for one, other in zip(fresh.values(), run(pictures()[1]).values(), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


def test_onnxruntime_and_openvino_find_the_same_at_any_size(
    predictors: Any, tmp_path: Path
) -> None:
    openvino = pytest.importorskip("openvino")
    chosen = predictors["gcnet mask"]
    program, metadata = program_of(chosen)
    path = tmp_path / "model.onnx"
    export(program, metadata, "onnx", path)
    run = runner(path, "onnx", program.OUTPUTS, threads=2)
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for image in pictures():
        assert_equal(compare("onnx", image, run(image), chosen, metadata), boxes=1e-2)
        values = dict(zip(program.OUTPUTS, compiled(image).values(), strict=True))
        # OpenVINO resizes in 32 bits: a pixel in a hundred is wrong by one level.
        assert compare("openvino", image, values, chosen, metadata).small


def test_fewer_detections_are_the_best_ones(tmp_path: Path) -> None:
    chosen = predictor("gcnet mask", tmp_path)
    image = pictures()[0]
    many = outputs_of(program_of(chosen)[0], image)["scores"]
    limit_detections(chosen.model, 3)
    few = outputs_of(program_of(chosen)[0], image)["scores"]
    np.testing.assert_array_equal(few, many[:3])


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    chosen = predictor("gcnet mask", tmp_path)
    chosen.model.roi_heads.mask_pooler = None
    with pytest.raises(UserError, match="mask_pooler"):
        program_of(chosen)
    chosen.model.proposal_generator = None
    chosen.model.roi_heads.mask_on = False
    with pytest.raises(UserError, match="proposal generator"):
        program_of(chosen)
