"""Each system's way from its config to a file that runs without torch, by the README's commands."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from projects_ext import Predictor
from projects_ext.deploy.command import main as export_model
from projects_ext.deploy.images import rgb_pixels
from projects_ext.deploy.program import program_of
from projects_ext.deploy.verify import compare
from projects_ext.engine.arguments import parse_arguments as training_arguments
from projects_ext.engine.main import run as train
from projects_ext.prediction import main as prediction
from projects_ext.prediction.arguments import parse_arguments as prediction_arguments
from tests.conftest import ROOT

SYSTEMS = {
    "mask_rcnn": "quickstart/mask_rcnn_shapes.py",
    "condinst": "condinst/condinst_shapes.py",
    "groie": "groie/mask_rcnn_groie_shapes.py",
    "carafe": "carafe/mask_rcnn_carafe_shapes.py",
    "grid_rcnn": "grid_rcnn/grid_rcnn_shapes.py",
    "gcnet": "gcnet/semantic/gcnet_shapes.py",
}
SHORT = (
    "train.max_iter=1",
    "train.eval_period=0",
    "train.device=cpu",
    "dataloader.train.num_workers=0",
    "dataloader.test.num_workers=0",
    "dataloader.train.total_batch_size=1",
)
SMALLER = {
    # A model that has seen one image finds something if every score is let through.
    "mask_rcnn": ("model.proposal_generator.post_nms_topk=[50,50]",),
    "condinst": ("model.selection.score_thresh=0.005", "model.selection.max_detections=20"),
    "groie": ("model.proposal_generator.post_nms_topk=[50,50]",),
    "carafe": ("model.proposal_generator.post_nms_topk=[50,50]",),
    "grid_rcnn": ("model.proposal_generator.post_nms_topk=[50,50]",),
    "gcnet": ("model.predict_multi_scale=False",),
}
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["detectron2"] = None
import numpy
from projects_ext.deploy import ExportedModel
from projects_ext.deploy.__main__ import main
model, image, folder = sys.argv[1:]
assert main([model, image, "--output", folder]) == 0
exported = ExportedModel(model, array_format="RGB")
numpy.savez(folder + "/raw.npz", **exported.raw(exported.prepare(image)["image"]))
"""


def keys(name: str, shapes: Path, shapes_overrides: list[str], output: Path) -> list[str]:
    """What is changed in the config."""
    data = list(shapes_overrides)
    if name == "gcnet":
        data = [
            f"data.{part}_{what}={folder / part}"
            for part in ("train", "val")
            for what, folder in (("images", shapes), ("labels", shapes / "labels"))
        ]
    return [*data, *SHORT, *SMALLER[name], f"train.output_dir={output}"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_train_predict_export_and_run_without_torch(
    name: str, shapes: Path, shapes_overrides: list[str], tmp_path: Path, capsys: Any
) -> None:
    config, output = str(ROOT / "configs" / SYSTEMS[name]), tmp_path / "run"
    words = ["--config-file", config, *keys(name, shapes, shapes_overrides, output)]
    train(training_arguments(words))
    run = str(output / "config.yaml")

    drawn = tmp_path / "drawn"
    given = ["--config-file", run, "--input", str(shapes / "val"), "--output", str(drawn)]
    assert prediction.run(prediction_arguments(given)) == 0
    assert len(list(drawn.iterdir())) == 4

    model, picture = tmp_path / "model.onnx", shapes / "val" / "000001.png"
    given = ["--config-file", run, "--format", "onnx", "--output", str(model)]
    assert export_model([*given, "--verify", str(picture)]) == 0
    rows = [row for row in capsys.readouterr().out.splitlines() if picture.name in row]
    assert [row.split()[-1] for row in rows] == ["equal"]

    code = [sys.executable, "-c", WITHOUT_TORCH, str(model), str(picture), str(tmp_path)]
    done = subprocess.run(
        code, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "000001.png").is_file()
    predictor = Predictor(run, device="cpu")
    with np.load(tmp_path / "raw.npz") as raw:
        difference = compare(
            name, rgb_pixels(picture), dict(raw), predictor, program_of(predictor)[1]
        )
    assert difference.small, difference
    assert difference.found > 0
