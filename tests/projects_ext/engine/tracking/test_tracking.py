"""Metrics in the real trackers, read back."""

import json
from pathlib import Path
from typing import Any

import pytest

from projects_ext.engine import load_config
from projects_ext.engine.main import check, run
from projects_ext.engine.tracking.trackers import _accepted, leaves
from projects_ext.errors import UserError

from ..test_main import arguments


def losses_of(output: Path) -> dict[int, float]:
    lines = map(json.loads, (output / "metrics.json").read_text().splitlines())
    return {line["iteration"]: line["total_loss"] for line in lines if "total_loss" in line}


def test_mlflow_has_the_metrics_and_a_resumed_run_continues(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    address = f"sqlite:///{tmp_path}/runs.db"
    keys = ["train.mlflow.experiment=shapes", f"train.mlflow.tracking_uri={address}"]
    keys += ["train.mlflow.name=first", "train.tensorboard=False"]
    run(arguments(shapes_overrides, tmp_path / "run", *keys))
    run(arguments(shapes_overrides, tmp_path / "run", *keys, "train.max_iter=3", resume=True))
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("shapes")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "first"
    assert found.info.status == "FINISHED"
    assert found.data.params["train.max_iter"] == "2"  # what the run began with
    history = client.get_metric_history(found.info.run_id, "total_loss")
    expected = losses_of(tmp_path / "run")
    assert {metric.step: metric.value for metric in history} == pytest.approx(expected)
    assert sorted(expected) == [0, 1, 2]
    assert not list((tmp_path / "run").glob("events.out.tfevents*"))


def test_wandb_offline_has_the_metrics(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    output = tmp_path / "run"
    run(arguments(shapes_overrides, output, "train.wandb.project=shapes", "train.wandb.name=first"))
    run_id = json.loads((output / "tracking.json").read_text())["Weights & Biases"]
    (file,) = output.glob(f"wandb/offline-run-*/run-{run_id}.wandb")
    content = file.read_bytes()
    assert b"total_loss" in content
    assert b"loss_mask" in content
    assert repr(losses_of(output)[1])[:8].encode() in content
    assert b"first" in content


@pytest.mark.parametrize(
    ("package", "key"),
    [("wandb", "train.wandb.project=x"), ("mlflow", "train.mlflow.experiment=x")],
)
def test_a_missing_package_is_said_before_training(
    shapes_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    key: str,
) -> None:
    def find(name: str, *rest: Any) -> Any:
        return None if name == package else object()

    monkeypatch.setattr("projects_ext.engine.tracking.trackers.find_spec", find)
    with pytest.raises(UserError, match=rf"the package {package} is missing: pip install"):
        run(arguments(shapes_overrides, tmp_path, key))


def test_a_service_that_cannot_be_reached_is_said_before_training(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("mlflow")
    keys = ["train.mlflow.experiment=x", "train.mlflow.tracking_uri=nothing://here"]
    with pytest.raises(UserError, match=r"MLflow cannot record this run .*tracking_uri"):
        run(arguments(shapes_overrides, tmp_path / "run", *keys))
    assert not list((tmp_path / "run").glob("model_*.pth"))


def test_a_name_without_a_project_is_refused(shapes_overrides: list[str], tmp_path: Path) -> None:
    given = arguments(shapes_overrides, tmp_path, "train.wandb.name=first")
    with pytest.raises(UserError, match=r"no effect while train\.wandb\.project"):
        check(load_config(given.config_file, given.opts), given)


def test_names_that_mlflow_refuses() -> None:
    validation = pytest.importorskip("mlflow.utils.validation")
    for name in ("bbox/AP-d'Or", "bbox/AP-a (id 90)", "bbox/AP-a&b", "data.x[0]", "bbox/AP-Äpfel"):
        validation._validate_metric_name(_accepted(name))
    assert _accepted("bbox/AP-d'Or (x)") == "bbox/AP-d_Or _x_"
    assert _accepted("rpn/num-pos.anchors_1") == "rpn/num-pos.anchors_1"


def test_leaves() -> None:
    config = {"a": {"b": [1, {"c": "x"}], "d": []}, "e": None}
    expected = {"a.b.0": 1, "a.b.1.c": "x", "a.d": [], "e": None}
    assert dict(leaves(config)) == expected
