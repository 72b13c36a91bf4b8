"""Devices and other things that a config asks of the machine."""

import logging
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from projects_ext.engine import devices, load_config
from projects_ext.engine.devices import require_device
from projects_ext.engine.faults import one_sentence
from projects_ext.engine.resources import provide_file_descriptors, require_equal_batches
from projects_ext.errors import UserError
from tests.projects_ext.faults.runs import CONFIG

DETECTRON2 = "MODEL: {MASK_ON: True}\n"
KEYS = ["train.device=cpu", "dataloader.train.total_batch_size=8"]


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_device("cuda")
    require_device("cuda:1")
    with pytest.raises(UserError, match=r"is cuda:2, but torch finds 2 of these"):
        require_device("cuda:2")


def test_the_cpu_is_always_there() -> None:
    require_device("cpu")
    with pytest.raises(UserError, match=r"is meta, but torch finds no meta device"):
        require_device("meta")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_yaml_config_falls_back_to_the_cpu_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(DETECTRON2)
    devices.say_cpu_is_used.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [load_config(str(file), []).MODEL.DEVICE for _ in range(2)] == ["cpu", "cpu"]
    (record,) = caplog.records
    assert "MODEL.DEVICE is cuda in the config" in record.getMessage()
    # On the command line it is meant.
    assert load_config(str(file), ["MODEL.DEVICE", "cuda"]).MODEL.DEVICE == "cuda"


def workers(count: int) -> Any:
    return load_config(CONFIG, [*KEYS, f"dataloader.train.num_workers={count}"])


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A system with a soft limit of 64 and a hard one of 1000 files, and what is set there."""
    changed: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: changed.append(pair))
    return changed


def test_the_limit_of_open_files_is_raised_where_that_is_possible(
    limits: list[tuple[int, int]],
) -> None:
    provide_file_descriptors(workers(4), 1)
    ((soft, hard),) = limits
    assert 64 < soft < hard == 1000


def test_too_many_loading_processes_for_the_limit(limits: list[tuple[int, int]]) -> None:
    with pytest.raises(UserError, match=r"1000 \(ulimit -n\): lower dataloader\.train\.num_work"):
        provide_file_descriptors(workers(100), 1)
    assert limits == []


def test_what_the_system_runs_out_of_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_sentence():
        raise OSError(24, "Too many open files")
    assert "error: Too many open files: raise the limit" in capsys.readouterr().err
    with pytest.raises(OSError, match="a bug"), one_sentence():
        raise OSError(9, "a bug")


def test_batches_after_detectron2s_own_scaling(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("SOLVER: {IMS_PER_BATCH: 16, REFERENCE_WORLD_SIZE: 8}\n")
    # 2 images for each process.
    require_equal_batches(load_config(str(file), []), 3)
    with pytest.raises(
        UserError, match=r"SOLVER\.IMS_PER_BATCH is 16, which 3 processes .*15 or 18"
    ):
        require_equal_batches(load_config(str(file), ["SOLVER.REFERENCE_WORLD_SIZE=0"]), 3)
