"""Ctrl-C and SIGTERM: ``train_net.py`` saves, says how to go on, and ends as shells expect."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from detectron2.engine import HookBase, TrainerBase
from projects_ext.engine import stopping
from projects_ext.engine.faults import StoppedError, one_sentence
from projects_ext.engine.main import main
from projects_ext.engine.stopping import StopOnSignal
from tests.projects_ext.faults.runs import end_of, short_run, trainer_with_losses, weights_in


def train_in_a_group_of_its_own(command: list[str], errors: Path) -> None:
    os.setsid()
    sys.argv = ["train_net.py", *command]
    with errors.open("w") as sys.stderr:
        os.dup2(sys.stderr.fileno(), 2)
        main()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_processes_saves_first(
    number: signal.Signals,
    code: int,
    shapes_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = ["train.max_iter=100000", "train.checkpointer.period=100000"]
    command = short_run(shapes_overrides, tmp_path, *keys, "dataloader.train.num_workers=2")
    process = multiprocessing.get_context("fork").Process(
        target=train_in_a_group_of_its_own, args=(command, tmp_path / "stderr")
    )
    process.start()
    assert process.pid is not None
    metrics = tmp_path / "metrics.json"
    while process.is_alive() and not (metrics.is_file() and metrics.read_text()):
        time.sleep(0.05)
    # As the terminal does for Ctrl-C, and as job schedulers do.
    os.killpg(process.pid, number)
    process.join(timeout=60)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
    stderr = (tmp_path / "stderr").read_text()
    assert process.exitcode == code, stderr
    assert "Traceback" not in stderr
    saved = (tmp_path / "last_checkpoint").read_text()
    done = int(saved.removeprefix("model_").removesuffix(".pth")) + 1
    assert stderr.strip().splitlines()[-1] == (
        f"stopped after iteration {done} of 100000: go on from {tmp_path / saved} by adding "
        "--resume to the same command"
    )
    command = short_run(shapes_overrides, tmp_path, f"train.max_iter={done + 1}", "--resume")
    assert end_of(command, monkeypatch)[0] == 0
    assert weights_in(tmp_path / "model_final.pth")


class SignalOnce(HookBase):
    """Sends this process a signal within an iteration, or within its end."""

    def __init__(self, iteration: int, times: int = 1) -> None:
        self.iteration, self.times = iteration, times

    def before_step(self) -> None:
        if self.trainer.iter == self.iteration:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGTERM)


def test_a_later_signal_stops_at_once_without_saving(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "PATIENCE", 0.0)
    trainer, _ = trainer_with_losses(short_run(shapes_overrides, tmp_path), SignalOnce(1, 2))
    with pytest.raises(StoppedError, match="stopped at once, nothing more was saved"):
        trainer.train()
    assert not list(tmp_path.glob("*.pth"))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_same_signal_again_changes_nothing(shapes_overrides: list[str], tmp_path: Path) -> None:
    trainer, _ = trainer_with_losses(short_run(shapes_overrides, tmp_path), SignalOnce(1, 2))
    with pytest.raises(StoppedError, match="after iteration 2 of 4: go on from"):
        trainer.train()


def test_an_evaluation_is_not_waited_for(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = short_run(shapes_overrides, tmp_path, "train.eval_period=1")
    trainer, _ = trainer_with_losses(command)

    def endless(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the evaluation went on")

    monkeypatch.setattr(type(trainer), "test", endless)
    with pytest.raises(StoppedError, match="after iteration 1 of 4: go on from") as stop:
        trainer.train()
    assert stop.value.exit_code == 143
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000000.pth"


def test_after_the_last_iteration_only_the_evaluation_is_left_out(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    trainer, _ = trainer_with_losses(short_run(shapes_overrides, tmp_path), SignalOnce(3))
    with pytest.raises(StoppedError, match=r"after iteration 4 of 4: go on from .*model_final"):
        trainer.train()
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"


def test_before_the_first_iteration_there_is_nothing_to_save(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, _ = trainer_with_losses(short_run(shapes_overrides, tmp_path))

    def killed_loader(_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker is killed by signal: Terminated.")

    monkeypatch.setattr(type(trainer.data_loader), "__iter__", killed_loader)
    with pytest.raises(StoppedError, match="before there was a checkpoint: start again"):
        trainer.train()
    assert not list(tmp_path.glob("*.pth"))


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stop = StopOnSignal()
        with stop.listening():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received == signal.SIGTERM
    finally:
        signal.signal(signal.SIGINT, before)


def get_signal(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(10)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_training_is_no_traceback(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, one_sentence():
        get_signal(number)
    assert end.value.code == code
    assert capsys.readouterr().err.strip() == "interrupted before there was anything to save"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def say_after_signal(number: int, ready: Any) -> None:
    """A process that saves something when it gets a signal."""
    stop = StopOnSignal()
    with stop.listening():
        ready.set()
        while not stop.received:
            time.sleep(0.01)
    time.sleep(0.3)
    os._exit(7)


def test_processes_that_were_started_are_told_and_waited_for() -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    child = context.Process(target=say_after_signal, args=(signal.SIGTERM, ready))
    child.start()
    ready.wait(30)
    with pytest.raises(SystemExit) as end, one_sentence():
        get_signal(signal.SIGTERM)
    assert end.value.code == 143
    assert child.exitcode == 7


def test_hooks_of_detectron2_know_the_order(shapes_overrides: list[str], tmp_path: Path) -> None:
    trainer, _ = trainer_with_losses(
        short_run(shapes_overrides, tmp_path, "train.ema.enabled=true")
    )
    names = [type(hook).__name__ for hook in trainer._hooks]
    assert isinstance(trainer, TrainerBase)
    stop, continuity = names.index("StopOnSignal"), names.index("Continuity")
    for changing in ("LRScheduler", "AverageWeights"):
        assert names.index(changing) < min(stop, continuity)
    for saving in ("PeriodicCheckpointer", "EvalHook", "PeriodicWriter"):
        assert names.index(saving) > max(stop, continuity)
