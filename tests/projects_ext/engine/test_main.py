"""``train_net.py`` from end to end: train, evaluate, resume; what it prints and leaves behind."""

import hashlib
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from projects_ext.engine import load_config
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.main import check, run
from projects_ext.errors import UserError

ROOT = Path(__file__).parents[3]
CONFIG = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.py")
SHORT = [
    "train.max_iter=2",
    "train.eval_period=0",
    "train.log_period=1",
    "train.checkpointer.period=1",
    "train.device=cpu",
    "dataloader.train.num_workers=0",
    "dataloader.test.num_workers=0",
    "dataloader.train.total_batch_size=2",
]


def arguments(shapes_overrides: list[str], output: Path, *more: str, **flags: Any) -> Namespace:
    opts = [*shapes_overrides, *SHORT, f"train.output_dir={output}", *more]
    parsed = parse_arguments(["--config-file", CONFIG, *opts])
    return Namespace(**{**vars(parsed), **flags})


@pytest.fixture(scope="module")
def trained(shapes_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of two iterations and the evaluation after them; tests only read it."""
    output = tmp_path_factory.mktemp("trained")
    metrics = run(arguments(shapes_overrides, output, "train.eval_period=2", report=True))
    assert metrics is not None
    assert set(metrics) == {"bbox", "segm"}
    return output


def test_training_leaves_what_users_of_default_trainer_expect(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"config.yaml", "log.txt", "metrics.json", "last_checkpoint"} <= names
    assert "coco_instances_results.json" in names
    assert {"model_0000000.pth", "model_0000001.pth", "model_final.pth"} & names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert len(list((trained / "pictures").iterdir())) == 4
    lines = [json.loads(line) for line in (trained / "metrics.json").read_text().splitlines()]
    assert {"total_loss", "loss_mask", "lr", "iteration"} <= set(lines[0])
    checkpoint = torch.load(trained / "model_final.pth", weights_only=True)
    assert {"model", "trainer", "iteration"} <= set(checkpoint)


def test_a_report_shows_the_run(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    assert trained.name in page
    assert "Total loss" in page
    assert json.loads((trained / "evaluation.json").read_text())["checkpoint"]["sha256"] in page
    assert "different evaluations" not in page
    assert str(trained / "coco_instances_results.json") in page


def test_a_report_without_its_libraries_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projects_ext.report.LIBRARIES", ("jinja2", "no_such_library"))
    with pytest.raises(UserError, match=r"needs no_such_library: run `pip install no_such"):
        check(load_config(CONFIG, []), arguments([], tmp_path, report=True))


def test_evaluation_file_names_checkpoint_and_config(trained: Path) -> None:
    content = json.loads((trained / "evaluation.json").read_text())
    weights = Path(content["checkpoint"]["file"])
    assert weights.parent == trained
    assert content["checkpoint"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert content["config"]["file"] == CONFIG
    assert "AP50" in content["metrics"]["segm"]


def test_eval_only_gives_the_metrics_of_the_training_run(
    trained: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    expected = json.loads((trained / "evaluation.json").read_text())
    weights = f"train.init_checkpoint={expected['checkpoint']['file']}"
    metrics = run(arguments(shapes_overrides, tmp_path, weights, eval_only=True))
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["metrics"] == expected["metrics"]
    assert written["checkpoint"]["sha256"] == expected["checkpoint"]["sha256"]
    assert metrics is not None
    assert metrics["bbox"]["AP"] == pytest.approx(expected["metrics"]["bbox"]["AP"])


def test_resume_goes_on_from_the_last_checkpoint(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    run(arguments(shapes_overrides, tmp_path))
    run(arguments(shapes_overrides, tmp_path, "train.max_iter=3", resume=True))
    lines = (tmp_path / "metrics.json").read_text().splitlines()
    iterations = [json.loads(line)["iteration"] for line in lines]
    assert iterations == sorted(iterations)
    assert iterations.count(0) == iterations.count(1) == 1
    checkpoint = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert checkpoint["iteration"] == 2


def test_eval_only_without_weights_says_what_to_give(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"add train\.init_checkpoint=FILE, or --resume"):
        run(arguments(shapes_overrides, tmp_path, eval_only=True))


def test_bfloat16_clipping_and_scaling_by_keys(shapes_overrides: list[str], tmp_path: Path) -> None:
    keys = ["train.amp={enabled: true, dtype: bfloat16}", "train.clip_grad.max_norm=0.1"]
    keys += ["train.reference_batch_size=4", "train.max_iter=1"]
    run(arguments(shapes_overrides, tmp_path, *keys))
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "grad_norm" in line] == [0, 1]
    assert "Scaled from batch 4 to 2" in (tmp_path / "log.txt").read_text()
    # What is saved is what ran: as a config file again it is not scaled once more.
    saved = load_config(str(tmp_path / "config.yaml"), [])
    assert (saved.train.max_iter, saved.train.reference_batch_size) == (2, 2)


def test_user_errors_end_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train_net.py"), "--config-file", CONFIG]
    command += ["train.device=cpu", "train.amp.enabled=True", f"train.output_dir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: mixed precision in float16 needs a CUDA device")
    assert "Traceback" not in done.stderr


def test_config_overrides_reach_the_config() -> None:
    cfg = load_config(CONFIG, ["optimizer.lr=0.5", "model.backbone.out_channels=32"])
    assert cfg.optimizer.lr == 0.5
    assert cfg.model.proposal_generator.head.in_channels == 32


def test_command_line_shows_a_short_first_screen(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    command = [
        sys.executable,
        str(ROOT / "train_net.py"),
        "--config-file",
        CONFIG,
        *shapes_overrides,
        *SHORT,
        "train.max_iter=1",
        f"train.output_dir={tmp_path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    screen = done.stdout.split("Starting training")[0]
    assert "M parameters" in screen
    assert "Training set: 10 images" in screen
    assert "triangle" in screen
    assert len(screen.splitlines()) < 45
    assert "Environment" not in screen
    assert "Environment info" in (tmp_path / "log.txt").read_text()
