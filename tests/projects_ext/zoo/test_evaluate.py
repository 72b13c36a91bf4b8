"""Evaluating by name: the engine's metrics beside the published ones."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from detectron2.config import LazyConfig, instantiate
from projects_ext.checkpoint.hashing import file_hash
from projects_ext.errors import UserError
from projects_ext.zoo import Experiment, config_file
from projects_ext.zoo.download import cached_path
from projects_ext.zoo.evaluate import comparison, evaluate, measured

NAME = "groie/mask_rcnn_groie_shapes"


@pytest.fixture
def overrides(shapes_overrides: list[str], tmp_path: Path) -> list[str]:
    return [
        *shapes_overrides,
        "train.device=cpu",
        "dataloader.test.num_workers=0",
        f"train.output_dir={tmp_path / 'output'}",
    ]


@pytest.fixture
def weights(shapes_overrides: list[str], tmp_path: Path) -> Path:
    """Random weights of the small model, in a folder with characters that need care."""
    cfg = LazyConfig.apply_overrides(LazyConfig.load(config_file(NAME)), shapes_overrides)
    torch.manual_seed(0)
    path = tmp_path / "it's, [here] = x" / "model.pth"
    path.parent.mkdir()
    torch.save({"model": instantiate(cfg.model).state_dict()}, path)
    return path


def experiment(address: str = "", metrics: Sequence[str] = ("box AP",)) -> Experiment:
    published = dict.fromkeys(metrics, 12.5)
    return Experiment(NAME, "table", "shapes", "somebody", published, "1x", address=address)


def test_weights_of_the_zoo_are_evaluated_as_train_net_does(
    weights: Path, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    wanted = experiment(f"https://nowhere.invalid/w/model-{file_hash(str(weights))[:8]}.pth")
    place = cached_path(wanted.address)
    place.parent.mkdir(parents=True)
    weights.rename(place)
    found = evaluate(wanted, overrides=overrides)
    written = json.loads((tmp_path / "output" / "evaluation.json").read_text())
    assert written["checkpoint"]["file"] == str(place)
    assert found["box AP"] == written["metrics"]["bbox"]["AP"]
    assert found["mask AP"] == written["metrics"]["segm"]["AP"]
    assert found["mIoU"] is None


def test_a_file_of_ones_own(
    weights: Path, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(experiment(), weights=str(weights), overrides=overrides)
    assert found["box AP"] is not None
    assert f"{weights} is not the published file" in capsys.readouterr().out


def test_comparison() -> None:
    row = Experiment(
        NAME, "t", "COCO", "s", {"box AP": 38.3, "mask AP": None, "mIoU": 1.0}, "1x"
    )  # fmt: skip
    lines = comparison(row, {"box AP": 38.25, "mask AP": 35.0, "mIoU": None}).splitlines()
    assert lines[2].split() == ["box", "AP", "38.3", "38.25", "-0.05"]
    assert lines[3].split() == ["mask", "AP", "not", "published", "35.00"]
    assert lines[4].split() == ["mIoU", "1.00", "not", "measured"]


def test_metrics_of_both_segmentation_evaluators() -> None:
    one_scale, both = {"mIoU": 1.0}, {"IoU": 2.0, "iIoU": 3.0}
    assert measured({"sem_seg": one_scale})["mIoU"] == 1.0
    found = measured({"sem_seg": both, "sem_seg_ms_flip": {"IoU": 4.0}})
    assert (found["mIoU"], found["mIoU ms+flip"]) == (2.0, 4.0)


def test_missing_data_is_said_before_anything_is_downloaded(tmp_path: Path) -> None:
    missing = [f"data.val_images={tmp_path / 'images'}", f"data.val_json={tmp_path / 'x.json'}"]
    with pytest.raises(UserError, match="no folder of images"):
        evaluate(experiment("https://nowhere.invalid/model-00000000.pth"), overrides=missing)


def test_missing_weights(overrides: list[str]) -> None:
    with pytest.raises(UserError, match="no weight file /nowhere: correct --weights"):
        evaluate(experiment(), weights="/nowhere", overrides=overrides)
