"""``--resume`` continues a run, or says why it cannot; it never begins anew unasked."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from projects_ext.engine.base import RunTrainer
from projects_ext.engine.checkpointing import AtomicCheckpointer
from projects_ext.engine.resuming import require_last_checkpoint
from projects_ext.errors import UserError
from tests.projects_ext.faults.runs import ROOT, end_of, same_bits, short_run

YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")


def commands(shapes_overrides: list[str], folder: Path) -> list[list[str]]:
    """Of both kinds of config."""
    yaml = ["--config-file", YAML, "MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(folder)]
    for given in shapes_overrides:  # data.train_json=…
        name, _, path = given.removeprefix("data.").partition("=")
        yaml += [f"DATASETS.COCO_FORMAT.{name.upper()}", path]
    return [short_run(shapes_overrides, folder), yaml]


@pytest.mark.parametrize("option", ["--resume", "--eval-only --resume"])
def test_a_folder_without_a_last_checkpoint_is_refused(
    option: str, shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoints would be written over by a run from the beginning."""
    for name in ("model_0000099.pth", "model_final.pth"):
        (tmp_path / name).write_bytes(name.encode())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for command in commands(shapes_overrides, tmp_path):
        code, stderr = end_of([*option.split(), *command], monkeypatch)
        assert code == 1
        said = stderr.strip().splitlines()[-1]
        assert said.startswith(
            f"error: --resume: {tmp_path} has checkpoints (model_0000099.pth, model_final.pth), but"
        )
        assert f"(echo model_final.pth > {tmp_path}/last_checkpoint), or give" in said
        assert "Traceback" not in stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "last_checkpoint").write_text("model_final.pth\n")
    require_last_checkpoint(str(tmp_path))


@pytest.mark.parametrize("yaml", [0, 1], ids=["lazy", "yaml"])
def test_an_evaluation_without_a_checkpoint_does_not_advise_what_was_given(
    yaml: int, shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = commands(shapes_overrides, tmp_path)[yaml]
    command += ["MODEL.WEIGHTS", ""] if yaml else ["train.init_checkpoint="]
    code, stderr = end_of(["--eval-only", "--resume", *command], monkeypatch)
    assert code == 1
    said = stderr.strip().splitlines()[-1]
    folder = ("train.output_dir=FOLDER", "OUTPUT_DIR FOLDER")[yaml]
    start = f"error: --eval-only --resume: there is no checkpoint in {tmp_path}: correct {folder}"
    assert said.startswith(start)


def resumed(folder: Path, max_iter: int, iteration: int) -> None:
    """What a trainer does about ``--resume``, without model and data."""
    trainer: Any = object.__new__(RunTrainer)
    trainer.settings = SimpleNamespace(output_dir=str(folder), init_checkpoint="")
    model = nn.Linear(3, 2)
    trainer.max_iter, trainer.iter = max_iter, iteration
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer._trainer = SimpleNamespace(model=model, optimizer=optimizer)
    trainer.scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    trainer.checkpointer = AtomicCheckpointer(model, str(folder))
    trainer.resume_or_load(resume=True)


def test_a_beginning_and_an_end_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    caplog.set_level(logging.INFO)
    beginning = f"--resume: there is no checkpoint in {tmp_path}: training starts from the beg"
    end = "has been trained for 108 iterations and the config asks for {}: there is nothing left"
    resumed(tmp_path, 200, 0)
    assert beginning in caplog.text
    caplog.clear()
    AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path)).save("model_0000107")
    for max_iter, finished in ((2, True), (108, True), (109, False)):
        caplog.clear()
        resumed(tmp_path, max_iter, 107)
        assert (end.format(max_iter) in caplog.text) == finished
        assert beginning not in caplog.text
    (tmp_path / "last_checkpoint").unlink()
    with pytest.raises(UserError, match=r"has checkpoints \(model_0000107\.pth\), but no file"):
        resumed(tmp_path, 200, 0)


class Run:
    """The state of a trainer, with one hook."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def state_dict(self) -> dict[str, Any]:
        inner = {"iteration": 7, "optimizer": self.optimizer.state_dict()}
        return {"iteration": 7, "hooks": {"Best": {"value": 1.0}}, "_trainer": inner}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["_trainer"]["optimizer"])
        for hook in state.get("hooks", {}).values():
            assert hook["value"] + 1


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        ("_trainer.optimizer", None, "it has no trainer._trainer.optimizer"),
        ("_trainer.optimizer.param_groups", None, "it has no trainer._trainer.optimizer.param_gr"),
        ("_trainer.optimizer", 3, "trainer._trainer.optimizer is no table of values"),
        ("_trainer", None, "it has no trainer._trainer"),
        ("iteration", None, "it has no trainer.iteration"),
        ("iteration", "100", "trainer.iteration is '100', which is no number of an iteration"),
        ("iteration", float("nan"), "trainer.iteration is nan, which is no"),
        ("iteration", 7.0, "trainer.iteration is 7.0, which is no"),
        ("iteration", -5, "trainer.iteration is -5, which is no"),
        ("iteration", True, "trainer.iteration is True, which is no"),
        ("hooks.Best.value", None, "the state of its run lacks an entry 'value'"),
        ("hooks.Best.value", "x", "the state of its run is of another form: "),
    ],
)
def test_a_broken_state_of_the_run_is_refused(
    place: str, value: Any, fault: str, tmp_path: Path
) -> None:
    def checkpointer() -> AtomicCheckpointer:
        model = nn.Linear(3, 2)
        run = Run(torch.optim.SGD(model.parameters(), lr=0.1))
        return AtomicCheckpointer(model, str(tmp_path), trainer=run)

    checkpointer().save("model_0000007")
    file = tmp_path / "model_0000007.pth"
    content = torch.load(file, weights_only=True)
    *keys, last = place.split(".")
    part = content["trainer"]
    for key in keys:
        part = part[key]
    part.pop(last)
    if value is not None:
        part[last] = value
    torch.save(content, file)
    with pytest.raises(UserError) as caught:
        checkpointer().resume_or_load("")
    said = caught.value.sentence
    assert said.startswith(f"--resume: {file} cannot be continued from, because {fault}")
    assert "without --resume, and another output folder" in said


def test_what_a_run_need_not_have_may_be_lacking(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    run = Run(torch.optim.SGD(model.parameters(), lr=0.1))
    AtomicCheckpointer(model, str(tmp_path), trainer=run).save("m")
    content = torch.load(tmp_path / "m.pth", weights_only=True)
    del content["trainer"]["hooks"]
    torch.save(content, tmp_path / "m.pth")
    again = nn.Linear(3, 2)
    AtomicCheckpointer(again, str(tmp_path), trainer=run).resume_or_load("")
    assert same_bits(model.state_dict(), again.state_dict())
