"""Running exported files: what is read, left out, drawn and refused; and all that without torch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from projects_ext.deploy import ExportedModel
from projects_ext.deploy.__main__ import main
from projects_ext.deploy.metadata import KEY, Metadata
from projects_ext.errors import MissingFileError, UserError
from tests.procedural import procedural_image

ROOT = Path(__file__).parents[3]
NAMES = ("disc", "box")
SCORES = (0.9, 0.6, 0.3, -1.0)
BOXES = ((10.0, 20.0, 60.0, 70.0), (5.0, 5.0, 30.0, 25.0), (50.0, 10.0, 90.0, 40.0), (0, 0, 0, 0))

# A Python that has neither torch nor Detectron2, whatever is installed.
WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
absent = ("torch", "torchvision", "detectron2", "fvcore", "omegaconf", "pycocotools")
PathFinder.find_spec = lambda name, *rest: None if name in absent else find(name, *rest)
"""


def detector(path: Path, metadata: Metadata | None = None, count: int = 3) -> Path:
    """A file whose detections are always the same; their first score is the first pixel's red."""
    values = {
        "boxes": np.array(BOXES, np.float32),
        "classes": np.array([1, 0, 1, 0]),
        "masks": np.full((4, 28, 28), 0.8, np.float32),
        "count": np.array(count),
        "rest": np.array(SCORES[1:], np.float32),
        "zero": np.array([0]),
        "full": np.array([255], np.float32),
    }
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    nodes = [
        helper.make_node("Flatten", ["image"], ["row"], axis=0),
        helper.make_node("Gather", ["row", "zero"], ["first"], axis=1),
        helper.make_node("Cast", ["first"], ["red"], to=TensorProto.FLOAT),
        helper.make_node("Squeeze", ["red", "zero"], ["flat"]),
        helper.make_node("Div", ["flat", "full"], ["best"]),
        helper.make_node("Concat", ["best", "rest"], ["scores"], axis=0),
    ]
    outputs = [
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in (
            ("boxes", TensorProto.FLOAT),
            ("scores", TensorProto.FLOAT),
            ("classes", TensorProto.INT64),
            ("masks", TensorProto.FLOAT),
            ("count", TensorProto.INT64),
        )
    ]
    given = helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])
    graph = helper.make_graph(nodes, "detector", [given], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    metadata = metadata or Metadata("instances", NAMES, 4, 0.05)
    helper.set_model_props(model, {KEY: metadata.text()})
    onnx.save(model, path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return detector(tmp_path / "model.onnx")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """80 x 100 pixels as they are seen, stored turned; the first one seen is (230, 20, 10)."""
    pixels = procedural_image("photo", 80, 100)
    pixels[0, 0] = 230, 20, 10
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(pixels)))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned back by a quarter, clockwise
    stored.save(tmp_path / "photo.png", exif=exif)
    return tmp_path / "photo.png"


def test_a_file_is_upright_and_its_objects_are_pasted(file: Path, photo: Path) -> None:
    model = ExportedModel(file)
    assert (model.kind, model.class_names, model.max_detections) == ("instances", [*NAMES], 4)
    found = model(str(photo))
    assert found.size == (80, 100)
    assert len(found) == 3
    np.testing.assert_allclose(found.scores[0], 230 / 255, rtol=1e-6)
    assert found.classes.tolist() == [1, 0, 1]
    assert found.masks.shape == (3, 80, 100)
    assert found.masks[0, 21:69, 11:59].all()
    assert 48 * 48 <= found.masks[0].sum() < 50 * 50  # without its corners


def test_arrays_and_pil_images_and_lists(file: Path, photo: Path) -> None:
    upright = np.array(Image.open(photo).transpose(Image.Transpose.ROTATE_270))
    assert upright[0, 0].tolist() == [230, 20, 10]
    bgr = np.ascontiguousarray(upright[:, :, ::-1])
    best = [
        ExportedModel(file)(Image.open(photo)).scores[0],
        ExportedModel(file)(bgr).scores[0],
        ExportedModel(file, array_format="RGB")(upright).scores[0],
        ExportedModel(file)([bgr, photo])[1].scores[0],
    ]
    np.testing.assert_allclose(best, 230 / 255, rtol=1e-6)
    grey = ExportedModel(file)(upright[:, :, 0])
    np.testing.assert_allclose(grey.scores[0], 230 / 255, rtol=1e-6)


@pytest.mark.parametrize(("threshold", "count"), [(None, 3), (0.05, 3), (0.5, 2), (0.95, 0)])
def test_confidence_threshold(file: Path, photo: Path, threshold: Any, count: int) -> None:
    found = ExportedModel(file, confidence_threshold=threshold)(photo)
    assert len(found) == len(found.boxes) == len(found.classes) == len(found.masks) == count


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one(tmp_path: Path, photo: Path, count: int) -> None:
    found = ExportedModel(detector(tmp_path / "few.onnx", count=count))(photo)
    assert len(found) == count
    assert found.masks.shape == (count, 80, 100)


@pytest.mark.parametrize(
    ("threshold", "sentence"),
    [(0.01, "gives no detections below 0.05"), (1.5, "from 0 to 1"), (True, "from 0 to 1")],
)
def test_thresholds_without_a_meaning(file: Path, threshold: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ExportedModel(file, confidence_threshold=threshold)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((4, 4, 3), np.float32), "values of float32"),
        (np.zeros((4, 4, 4), np.uint8), r"the shape \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"the shape \(0, 4, 3\)"),
        (Image.new("I;16", (4, 4)), 'PIL mode "I;16"'),
        (3, "not a int"),
        ("absent.png", "there is no image file absent.png"),
    ],
)
def test_what_is_no_image(file: Path, given: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ExportedModel(file)(given)


def test_files_that_are_no_models(tmp_path: Path, file: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no model file"):
        ExportedModel(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "cut.onnx").write_bytes(file.read_bytes()[:2000])
    for name in ("text.onnx", "cut.onnx"):
        with pytest.raises(UserError, match=f"{name} is no ONNX model that onnxruntime"):
            ExportedModel(tmp_path / name)
    foreign = onnx.load(file)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match="but not one of this project"):
        ExportedModel(tmp_path / "foreign.onnx")
    for text, sentence in (("{", "damaged"), ("[]", "damaged"), ('{"format": 9}', "version")):
        helper.set_model_props(foreign, {KEY: text})
        onnx.save(foreign, tmp_path / "odd.onnx")
        with pytest.raises(UserError, match=sentence):
            ExportedModel(tmp_path / "odd.onnx")
    with pytest.raises(UserError, match="BGR or RGB"):
        ExportedModel(file, array_format="GBR")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="has no NoSuchProvider"):
        ExportedModel(file, providers=["NoSuchProvider"])


def test_the_command_draws(file: Path, photo: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "drawn"
    assert main([str(file), str(photo), str(photo), "--output", str(folder)]) == 0
    assert "1 box, 1 disc" in capsys.readouterr().out
    drawn = np.array(Image.open(folder / "photo.png"))
    plain = np.array(Image.open(photo).transpose(Image.Transpose.ROTATE_270))
    assert drawn.shape == (80, 100, 3)
    assert (drawn[30:60, 35:55] != plain[30:60, 35:55]).any(axis=2).mean() > 0.9
    np.testing.assert_array_equal(drawn[75:], plain[75:])
    assert (folder / "photo_2.png").is_file()


def test_the_command_ends_in_one_sentence(file: Path, tmp_path: Path, capsys: Any) -> None:
    assert main([str(file), "absent.jpg", "--output", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == "there is no image file absent.jpg: correct the path\n"
    assert main([str(tmp_path / "no.onnx"), "absent.jpg", "--output", str(tmp_path)]) == 1
    assert "there is no model file" in capsys.readouterr().err


def without_torch(code: str, *arguments: Any) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_all_that_works_without_torch(file: Path, photo: Path, tmp_path: Path) -> None:
    code = """
from projects_ext.deploy.__main__ import main
assert main([*sys.argv[1:3], "--output", sys.argv[3]]) == 0
assert not {"torch", "torchvision", "detectron2", "projects_ext.config"} & set(sys.modules)
"""
    done = without_torch(code, file, photo, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 box, 1 disc" in done.stdout


@pytest.mark.parametrize("name", ["add_config", "Predictor"])
def test_what_needs_torch_says_so(name: str) -> None:
    done = without_torch(f"from projects_ext import {name}")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: projects_ext.{name} needs torch")


def test_a_missing_onnxruntime_is_named(file: Path) -> None:
    code = """
sys.modules["onnxruntime"] = None
from projects_ext.deploy import ExportedModel
ExportedModel(sys.argv[1])
"""
    last = without_torch(code, file).stderr.strip().splitlines()[-1]
    assert "needs onnxruntime" in last
    assert "pip install onnxruntime" in last
