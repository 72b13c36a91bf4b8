"""A run that is killed with -9, at whatever moment, resumes from its last checkpoint."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from projects_ext.engine import checkpointing
from tests.projects_ext.faults.runs import (
    end_of,
    same_bits,
    short_run,
    trainer_with_losses,
    weights_in,
)


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after_calls(count: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, but the process dies when it is called for the ``count + 1``-th time."""
    calls = iter(range(count))

    def counted(*arguments: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            die()
        return function(*arguments, **options)

    return counted


def in_an_iteration(patch: pytest.MonkeyPatch) -> None:
    """Between the gradients of the fourth iteration and its update."""
    patch.setattr(torch.optim.AdamW, "step", after_calls(3, torch.optim.AdamW.step))


def in_the_middle_of_a_file(patch: pytest.MonkeyPatch) -> None:
    """While the second checkpoint is written."""
    save = torch.save

    def half(content: Any, file: Any) -> None:
        if (Path(file.name).parent / "last_checkpoint").exists():
            file.write(b"PK half of it")
            file.flush()
            die()
        save(content, file)

    patch.setattr(torch, "save", half)


def before_the_renaming(patch: pytest.MonkeyPatch) -> None:
    """When the second checkpoint is written, but not yet in its place."""
    # The first checkpoint and its tag are two files.
    patch.setattr(Path, "replace", after_calls(2, Path.replace))


def before_it_is_the_last_one(patch: pytest.MonkeyPatch) -> None:
    """When the second checkpoint is in its place, but the first one still counts as the last."""
    tag = checkpointing.AtomicCheckpointer.tag_last_checkpoint
    patch.setattr(checkpointing.AtomicCheckpointer, "tag_last_checkpoint", after_calls(1, tag))


def run_until_killed(command: list[str], moment: Callable[[pytest.MonkeyPatch], None]) -> None:
    moment(pytest.MonkeyPatch())
    trainer, _ = trainer_with_losses(command)
    trainer.train()


@pytest.fixture(scope="module")
def uninterrupted(
    shapes_overrides: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    output = tmp_path_factory.mktemp("uninterrupted")
    trainer, _ = trainer_with_losses(short_run(shapes_overrides, output))
    trainer.train()
    return weights_in(output / "model_final.pth")


@pytest.mark.parametrize(
    "moment",
    [in_an_iteration, in_the_middle_of_a_file, before_the_renaming, before_it_is_the_last_one],
)
def test_killed_run_resumes_to_the_same_weights(
    moment: Callable[[pytest.MonkeyPatch], None],
    uninterrupted: dict[str, torch.Tensor],
    shapes_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = short_run(shapes_overrides, tmp_path)
    process = multiprocessing.get_context("fork").Process(
        target=run_until_killed, args=(command, moment)
    )
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL
    # Iterations 0 to 3, a checkpoint after 1 and 3: only the first one counts.
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"
    assert end_of([*command, "--resume"], monkeypatch)[0] == 0
    assert same_bits(weights_in(tmp_path / "model_final.pth"), uninterrupted)
    assert not list(tmp_path.glob("*.part"))
