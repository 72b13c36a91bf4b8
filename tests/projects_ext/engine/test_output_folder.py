"""Output folders: writable, and one run's alone."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest

from projects_ext.engine import output_folder as module
from projects_ext.engine.output_folder import LOCK, output_folder, require_room
from projects_ext.errors import UserError
from tests.projects_ext.faults.runs import CONFIG, ROOT, SHORT, end_of

HOLD = """
import os, sys, time
from projects_ext.engine.output_folder import output_folder
with output_folder(sys.argv[1]):
    child = os.fork()  # as a data loading process: it inherits what is open, and stays
    if not child:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process that has the folder until it is killed, and its child's id."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert holder.stdout is not None
    return holder, int(holder.stdout.readline())


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as caught, output_folder(str(folder)):
        pass
    return caught.value.sentence


@pytest.mark.skipif(module.fcntl is None, reason="there are no such locks on this system")
def test_a_second_run_is_refused_until_the_first_is_gone(
    tmp_path: Path, shapes_overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, child = hold(tmp_path)
    try:
        sentence = refused(tmp_path)
        assert f"process id {holder.pid} on {socket.gethostname()}, started 20" in sentence
        assert "train.output_dir=FOLDER" in sentence
        for mode in ("--resume", "--eval-only"):
            keys = [*shapes_overrides, *SHORT, f"train.output_dir={tmp_path}"]
            code, stderr = end_of(["--config-file", CONFIG, mode, *keys], monkeypatch)
            assert code == 1
            assert f"process id {holder.pid}" in stderr
        holder.kill()
        holder.wait()
        # What is left of it is no lock, though the process that it started still runs.
        assert (tmp_path / LOCK).exists()
        os.kill(child, 0)
        with output_folder(str(tmp_path)):
            assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
        assert not (tmp_path / LOCK).exists()
    finally:
        holder.kill()
        os.kill(child, signal.SIGKILL)
        holder.communicate()


def test_a_lock_file_that_nobody_holds_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text('{"pid": 1, "host": "elsewhere", "since": "2020"}')
    with output_folder(str(tmp_path)):
        assert json.loads((tmp_path / LOCK).read_text())["host"] == socket.gethostname()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
def test_a_file_in_the_way_is_named(below: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert f"because {file} is a file" in refused(file / below)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that not even root can write to")
def test_a_folder_that_cannot_be_written_to() -> None:
    assert "the output folder /proc/here cannot be written to" in refused(Path("/proc/here"))


def full(descriptor: int = 0) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_named_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    sentence = refused(tmp_path / "output")
    assert f"the output folder {tmp_path / 'output'} is full" in sentence
    assert list((tmp_path / "output").iterdir()) == []


@pytest.mark.parametrize("is_that_of_the_folder", [True, False])
def test_a_disk_that_fills_up_is_named_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_that_of_the_folder: bool
) -> None:
    """A write that fails says nothing of its file; the disk may be another one."""

    def write() -> None:
        if is_that_of_the_folder:
            monkeypatch.setattr(os, "fsync", full)
        full()

    with pytest.raises(UserError) as caught, output_folder(str(tmp_path)):
        write()
    if is_that_of_the_folder:
        assert f"the output folder {tmp_path} is full (No space left" in caught.value.sentence
    else:
        assert f"make room in the output folder {tmp_path} (" in caught.value.sentence
        assert f"or in the folder of temporary files {gettempdir()} (" in caught.value.sentence
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_room_for_a_checkpoint_is_refused(tmp_path: Path) -> None:
    require_room(str(tmp_path / "new" / "folder"), 1)
    with pytest.raises(UserError, match=r"has room for [\d,]+ bytes, and the weights alone take"):
        require_room(str(tmp_path), 1 << 60)


def test_a_file_system_without_locks_gets_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*args: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if module.fcntl is None:
        pytest.skip("there are no such locks on this system")
    monkeypatch.setattr(module.fcntl, "lockf", no_locks)
    with output_folder(str(tmp_path)):
        assert "has no locks" in caplog.text
