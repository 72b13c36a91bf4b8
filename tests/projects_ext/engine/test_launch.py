"""Processes find each other, however they were started."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.launch import launch
from projects_ext.engine.places import (
    Place,
    check_arguments,
    meeting_point,
    place_from_environment,
    require_batch,
    require_places,
)
from projects_ext.errors import UserError
from tests.projects_ext.engine.programs import tell

ROOT = Path(__file__).parents[3]
FREE = "tcp://127.0.0.1:0"


def told(path: Path, count: int) -> list[dict[str, Any]]:
    """What ``tell`` wrote in each process; no more than ``count`` processes ran."""
    found = [json.loads(Path(f"{path}.{rank}").read_text()) for rank in range(count)]
    assert len(list(path.parent.iterdir())) == count
    return found


def start(path: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """``tell`` in a process of its own."""
    program = [sys.executable, "-m", "tests.projects_ext.engine.programs"]
    return subprocess.Popen(
        [*program, "--config-file", str(path), *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors


def free_port() -> str:
    return meeting_point("auto", 1).rpartition(":")[2]


def test_one_process_runs_here(tmp_path: Path) -> None:
    launch(tell, parse_arguments(["--config-file", str(tmp_path / "told")]), on_gpu=False)
    (alone,) = told(tmp_path / "told", 1)
    assert alone == {"rank": 0, "world_size": 1, "local": [0, 1], "total": 1.0, "shared": 5.0}


def test_two_processes_on_the_cpu(tmp_path: Path) -> None:
    words = ["--config-file", str(tmp_path / "told"), "--num-gpus", "2"]
    launch(tell, parse_arguments(words), on_gpu=False)
    first, second = told(tmp_path / "told", 2)
    assert first == {"rank": 0, "world_size": 2, "local": [0, 2], "total": 3.0, "shared": 5.0}
    assert second == {"rank": 1, "world_size": 2, "local": [1, 2], "total": 3.0, "shared": 5.0}


def test_two_machines(tmp_path: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    both = ["--num-machines", "2", "--dist-url", url]
    finish(*(start(tmp_path / "told", *both, "--machine-rank", rank) for rank in ("0", "1")))
    for rank, one in enumerate(told(tmp_path / "told", 2)):
        assert one == {"rank": rank, "world_size": 2, "local": [0, 1], "total": 3.0, "shared": 5.0}


def test_the_environment_of_torchrun_on_two_nodes(tmp_path: Path) -> None:
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    finish(
        *(
            # torchrun has started the processes: --num-gpus starts no more of them.
            start(tmp_path / "told", "--num-gpus", "2", RANK=rank, LOCAL_RANK="0", **common)
            for rank in ("0", "1")
        )
    )
    for rank, one in enumerate(told(tmp_path / "told", 2)):
        assert one == {"rank": rank, "world_size": 2, "local": [0, 1], "total": 3.0, "shared": 5.0}


def test_place_needs_the_whole_environment() -> None:
    whole = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
    assert place_from_environment(whole) is None
    assert place_from_environment({**whole, "MASTER_PORT": "1"}) == Place(3, 4, 1, "env://")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "first"}, "RANK is 'first' and no number"),
        ({"WORLD_SIZE": "-2"}, "WORLD_SIZE is '-2' and no number"),
        ({"MASTER_PORT": ""}, "MASTER_PORT is '' and no number"),
        ({"RANK": "4"}, "do not fit together"),
        ({"LOCAL_RANK": "4"}, "do not fit together"),
        ({"MASTER_PORT": "99999"}, "do not fit together"),
    ],
)
def test_malformed_environment(variables: dict[str, str], message: str) -> None:
    whole = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
    with pytest.raises(UserError, match=message):
        place_from_environment({**whole, "MASTER_PORT": "1", **variables})


def test_more_processes_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    words = ["--config-file", "x.py", "--num-gpus"]
    require_places(parse_arguments([*words, "4"]), on_gpu=False)
    with pytest.raises(UserError, match=r"--num-gpus 1000: .* has 4 cores: give --num-gpus 4"):
        require_places(parse_arguments([*words, "1000"]), on_gpu=False)
    # To try several processes out, one core is enough.
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    require_places(parse_arguments([*words, "2"]), on_gpu=False)


@pytest.mark.parametrize(("batch", "sizes"), [(3, "2 or 4"), (1, "2,"), (5, "4 or 6")])
def test_batches_that_cannot_be_shared(batch: int, sizes: str) -> None:
    require_batch(4, 2, "key")
    with pytest.raises(UserError, match=f"key is {batch}, which 2 processes .* set it to {sizes}"):
        require_batch(batch, 2, "key")


def test_meeting_point() -> None:
    assert meeting_point("tcp://host:1", 2) == "tcp://host:1"
    assert meeting_point("auto", 1).startswith("tcp://127.0.0.1:")
    with pytest.raises(ValueError, match=r"give --dist-url tcp://HOST:PORT"):
        meeting_point("auto", 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--num-gpus 0", r"--num-gpus 0 --num-machines 1: at least 1 of each"),
        ("--num-machines 2 --machine-rank 2", r"it is one of 0 to 1"),
        ("--machine-rank -1", r"it is one of 0 to 0"),
    ],
)
def test_numbers_that_cannot_be(options: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_arguments(parse_arguments(["--config-file", "x.py", *options.split()]))


def test_more_processes_than_gpus_say_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    arguments = parse_arguments(["--config-file", "x.py", "--num-gpus", "2"])
    with pytest.raises(ValueError, match=r"2 processes on GPUs, but this machine has 1: lower"):
        launch(tell, arguments, on_gpu=True)
