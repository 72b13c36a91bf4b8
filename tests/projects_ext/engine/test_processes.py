"""Two processes train and evaluate as one does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.two_processes import ROOT, losses, train, write_config


@pytest.fixture(scope="module")
def config_file(shapes: Path, shapes_overrides: list[str], tmp_path_factory: Any) -> str:
    folder = tmp_path_factory.mktemp("two")
    return write_config("quickstart/mask_rcnn_shapes.py", folder, shapes, shapes_overrides)


@pytest.fixture(scope="module")
def one_process(config_file: str, tmp_path_factory: Any) -> Path:
    """The output folder of a single process."""
    return train(config_file, tmp_path_factory.mktemp("one_process"), 1)


def test_two_processes_give_the_losses_and_metrics_of_one(
    config_file: str, one_process: Path, tmp_path: Path
) -> None:
    two_processes = train(config_file, tmp_path, 2)
    expected, found = losses(one_process), losses(two_processes)
    assert len(expected) == len(found) == 3
    for one, two in zip(expected, found, strict=True):
        assert set(one) >= {"loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"}
        assert two == pytest.approx(one, rel=1e-5)
    # The weights have moved: the gradients were those of the whole batch.
    assert expected[2]["total_loss"] != pytest.approx(expected[0]["total_loss"], rel=1e-2)

    table = json.loads((one_process / "oracle.json").read_text())
    assert json.loads((two_processes / "oracle.json").read_text()) == table
    assert 1 < table["bbox"]["AP"] < 99
    assert 1 < table["segm"]["AP"] < 99
    assert "2 of them, on the CPU, connected by gloo" in (tmp_path / "log.txt").read_text()


def test_under_torchrun_nothing_is_launched_twice(
    config_file: str, one_process: Path, tmp_path: Path
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", str(ROOT / "train_net.py")]
    command += ["--config-file", config_file, f"train.output_dir={tmp_path}", "train.max_iter=1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path)[0] == pytest.approx(losses(one_process)[0], rel=1e-5)
    assert len(losses(tmp_path)) == 1
    assert {path.name for path in tmp_path.glob("log.txt*")} == {"log.txt", "log.txt.rank1"}
