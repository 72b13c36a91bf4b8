"""Images that would be read wrongly end a run before training, on both config routes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .runs import ROOT, end_of, short_run

YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")


@pytest.fixture
def deep_validation(shapes: Path, tmp_path: Path) -> Path:
    """The images of the validation part, one of them with 16 bits."""
    folder = tmp_path / "val"
    shutil.copytree(shapes / "val", folder)
    content = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    last = folder / content["images"][-1]["file_name"]
    grey = np.array(Image.open(last).convert("L")).astype(np.uint16) * 257
    last.unlink()
    Image.fromarray(grey).save(last, "PNG")
    return folder


def test_a_deep_validation_image_ends_the_run_before_training(
    deep_validation: Path,
    shapes_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = short_run(shapes_overrides, tmp_path / "out", f"data.val_images={deep_validation}")
    code, said = end_of(command, monkeypatch)
    assert code == 1
    assert 'has the PIL mode "I;16"' in said
    assert "Traceback" not in said
    assert not list((tmp_path / "out").glob("*.pth"))
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_it_does_so_from_yaml(
    deep_validation: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {
        "DATASETS.COCO_FORMAT.TRAIN_JSON": shapes / "annotations" / "instances_train.json",
        "DATASETS.COCO_FORMAT.TRAIN_IMAGES": shapes / "train",
        "DATASETS.COCO_FORMAT.VAL_JSON": shapes / "annotations" / "instances_val.json",
        "DATASETS.COCO_FORMAT.VAL_IMAGES": deep_validation,
        "SOLVER.MAX_ITER": 1,
        "SOLVER.IMS_PER_BATCH": 1,
        "DATALOADER.NUM_WORKERS": 0,
        "MODEL.DEVICE": "cpu",
        "OUTPUT_DIR": tmp_path / "out",
    }
    words = [str(word) for pair in keys.items() for word in pair]
    code, said = end_of(["--config-file", YAML, *words], monkeypatch)
    assert code == 1
    assert 'has the PIL mode "I;16"' in said
    assert not list((tmp_path / "out").glob("*.pth"))
