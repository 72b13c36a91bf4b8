"""torchrun starts a run again after one of its processes was killed, and the run continues."""

import os
import re
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from projects_ext.engine.restarts import COUNT, STARTED, resume_after_restart
from tests.two_processes import ROOT, write_config

ITERATIONS = 4


def command(config_file: str, output: Path) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = [*torchrun, "--nproc-per-node", "2", "--max-restarts", "2", str(ROOT / "train_net.py")]
    words += ["--config-file", config_file, f"train.output_dir={output}"]
    return [*words, f"train.max_iter={ITERATIONS}", "train.checkpointer.period=1"]


@pytest.fixture(scope="module")
def config_file(shapes: Path, shapes_overrides: list[str], tmp_path_factory: Any) -> str:
    folder = tmp_path_factory.mktemp("restarts")
    return write_config("quickstart/mask_rcnn_shapes.py", folder, shapes, shapes_overrides)


@pytest.fixture(scope="module")
def uninterrupted(config_file: str, tmp_path_factory: Any) -> dict[str, torch.Tensor]:
    output = tmp_path_factory.mktemp("uninterrupted")
    subprocess.run(command(config_file, output), check=True, capture_output=True, cwd=ROOT)
    return final_weights(output)


def final_weights(output: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(output / "model_final.pth", weights_only=True)
    assert checkpoint["iteration"] == ITERATIONS - 1
    weights: dict[str, torch.Tensor] = checkpoint["model"]
    return weights


def worker(agent: int, rank: int) -> int:
    """The process of this rank among the agent's children."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return int(child)
    raise LookupError(f"no process of rank {rank}")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_is_replaced_and_the_weights_are_the_same(
    config_file: str, uninterrupted: dict[str, torch.Tensor], tmp_path: Path, rank: int
) -> None:
    with subprocess.Popen(
        command(config_file, tmp_path), cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as agent:
        deadline = time.monotonic() + 200
        while not (tmp_path / "model_0000001.pth").is_file():
            assert agent.poll() is None, agent.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(worker(agent.pid, rank), signal.SIGKILL)
        _, stderr = agent.communicate(timeout=300)
    assert agent.returncode == 0, stderr
    starts = re.findall("Starting training from iteration (.)", (tmp_path / "log.txt").read_text())
    assert len(starts) == 2
    assert starts[0] < starts[1]
    found = final_weights(tmp_path)
    assert [k for k in found if not torch.allclose(found[k], uninterrupted[k], atol=1e-6)] == []


def test_a_checkpoint_of_an_earlier_run_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resumes(count: int, first: bool = True) -> bool:
        monkeypatch.setenv(COUNT, str(count))
        arguments = Namespace(resume=False, eval_only=False)
        resume_after_restart(arguments, str(tmp_path), first)
        return arguments.resume

    last = tmp_path / "last_checkpoint"
    last.write_text("model_0000009.pth")
    os.utime(last, ns=(0, 0))
    assert not resumes(0)
    assert (tmp_path / STARTED).is_file()
    assert not resumes(1)  # died before its first checkpoint
    last.touch()
    assert resumes(1)
    assert resumes(1, first=False)
    monkeypatch.delenv(COUNT)
    arguments = Namespace(resume=False, eval_only=False)
    resume_after_restart(arguments, str(tmp_path), True)
    assert not arguments.resume
