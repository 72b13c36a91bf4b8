"""tools/deploy/export_model.py, and the comparison at its end."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from projects_ext import Predictor
from projects_ext.deploy.command import main
from projects_ext.deploy.metadata import KEY, Metadata
from projects_ext.deploy.program import program_of
from projects_ext.deploy.verify import compare, made_up, without
from tests.procedural import procedural_image
from tests.small_systems import CONFIGS

from .region_systems import predictor

ROOT = Path(__file__).parents[3]
NAME = "carafe faster"
CONFIG = CONFIGS / "carafe" / "faster_rcnn_carafe_shapes.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """With the weights of a small model, ``carafe_faster.pth``."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def model(folder: Path) -> Predictor:
    return predictor(NAME, folder, threshold=0.05)


def words(folder: Path, output: Path, *more: str) -> list[str]:
    return [
        *("--config-file", str(CONFIG), "--weights", str(folder / "carafe_faster.pth")),
        *("--format", "torchscript", "--output", str(output), *more),
    ]


OPTS = ("--opts", "model.roi_heads.num_classes=3")


@pytest.mark.usefixtures("model")
def test_a_file_is_written_and_equal(folder: Path, tmp_path: Path, capsys: Any) -> None:
    picture, output = tmp_path / "picture.png", tmp_path / "new" / "model.ts"
    Image.fromarray(procedural_image("a", 70, 110)).save(picture)
    more = ("--max-detections", "7", "--verify", str(picture), *OPTS)
    assert main(words(folder, output, *more)) == 0
    table = capsys.readouterr().out.splitlines()
    assert "picture.png" in table[-1]
    assert table[-1].endswith("equal")
    extra = {KEY: ""}
    torch.jit.load(str(output), _extra_files=extra)
    text: Any = extra[KEY]
    metadata = Metadata.of("model.ts", {KEY: text if isinstance(text, str) else text.decode()})
    assert (metadata.kind, metadata.max_detections) == ("instances", 7)
    assert len(metadata.class_names) == 3


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("output", "more", "sentence"),
    [
        ("model.onnx", (), "end with .ts"),
        ("model.ts", ("--max-detections", "0"), "give 1 or more"),
        ("model.ts", ("--opts", "model.roi_heads.num_classes=3", "model.nothing=1"), "nothing"),
    ],
)
def test_mistakes_end_in_a_sentence(
    folder: Path, tmp_path: Path, capsys: Any, output: str, more: Any, sentence: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words(folder, tmp_path / output, *more))
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / output).exists()


def test_the_script_explains_itself() -> None:
    script = [sys.executable, str(ROOT / "tools" / "deploy" / "export_model.py"), "--help"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "torchscript" in done.stdout


def test_differences_are_seen(model: Predictor) -> None:
    program, metadata = program_of(model)
    image = procedural_image("b", 80, 100)
    with torch.no_grad():
        found = program(torch.from_numpy(image))
    right = {name: x.numpy() for name, x in zip(program.OUTPUTS, found, strict=True)}
    assert compare("x", image, right, model, metadata).small
    assert int(right["count"]) > 3
    for name, change in (("boxes", 3.0), ("scores", 0.02), ("classes", 1)):
        wrong = {**right, name: right[name] + np.asarray(change, right[name].dtype)}
        difference = compare("x", image, wrong, model, metadata)
        assert not difference.small, name
        assert difference.row().endswith("DIFFERENT")
    fewer = {key: right[key][1:] for key in ("boxes", "scores", "classes")}
    fewer["count"] = right["count"] - 1
    # The one that is missing, and perhaps another one that was taken for it.
    assert compare("x", image, fewer, model, metadata).wrong in (1, 2)


def test_made_up_images_have_several_sizes() -> None:
    images = dict(made_up())
    assert len({image.shape for image in images.values()}) == len(images) == 3
    assert all(image.dtype == np.uint8 for image in images.values())


def test_an_image_without_objects_is_one_or_has_another_name(folder: Path) -> None:
    chosen = predictor(NAME, folder / "..", threshold=0.05)
    heads = chosen.model.roi_heads.box_predictor
    name, image = without(chosen)
    assert name == "smooth ramp"
    assert len(chosen(Image.fromarray(image))) > 0
    heads.test_score_thresh = 2.0
    assert without(chosen)[0] == "without objects"
