"""Checkpoints: whole or not at all, and resumed by the same model alone."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from projects_ext.checkpoint.writing import write_whole
from projects_ext.engine.checkpointing import AtomicCheckpointer
from projects_ext.errors import MissingFileError, NonFiniteError, UserError
from tests.projects_ext.faults.runs import end_of, same_bits, short_run, weights_in


class State:
    """Something else to be saved."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def state_dict(self) -> dict[str, Any]:
        return self.values

    def load_state_dict(self, values: dict[str, Any]) -> None:
        self.values = values


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file can grow beyond ``size`` bytes, as if the disk were full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_everything_comes_back(tmp_path: Path) -> None:
    saved = State(best=np.float64(3.5), history=[(1, 2.5)], counts={"a": np.int64(4)})
    model = nn.Linear(3, 2)
    AtomicCheckpointer(model, str(tmp_path), other=saved).save("model_0000004", iteration=4)
    model, loaded = nn.Linear(3, 2), State()
    rest = AtomicCheckpointer(model, str(tmp_path), other=loaded).resume_or_load("")
    assert rest["iteration"] == 4
    assert loaded.values == {"best": 3.5, "history": [(1, 2.5)], "counts": {"a": 4}}
    assert same_bits(model.state_dict(), weights_in(tmp_path / "model_0000004.pth"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_0000004.pth"]


@pytest.mark.parametrize("name", ["model_0000002", "model_0000001"], ids=["new", "again"])
def test_full_disk_leaves_the_last_checkpoint_whole(name: str, tmp_path: Path) -> None:
    model = nn.Linear(300, 300)
    checkpointer = AtomicCheckpointer(model, str(tmp_path))
    checkpointer.save("model_0000001", iteration=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    nn.init.zeros_(model.weight)
    # The limit on a file stands for the disk; the remedy is the limit's.
    message = rf"{name}\.pth could not be written \(File too large\): raise the limit .*--resume"
    with room_for(100_000), pytest.raises(UserError, match=message):
        checkpointer.save(name, iteration=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    checkpointer.save(name, iteration=2)
    assert (tmp_path / "last_checkpoint").read_text() == f"{name}.pth"


def test_no_space_for_the_tag_is_a_failure_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Linear(3, 2)
    checkpointer = AtomicCheckpointer(model, str(tmp_path))
    checkpointer.save("model_0000001")

    def full(self: Any, name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(AtomicCheckpointer, "tag_last_checkpoint", full)
    with pytest.raises(UserError, match=r"No space left on device\).*model_0000001\.pth is whole"):
        checkpointer.save("model_0000002")
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "model_0000007.pth.part").write_bytes(b"half")
    AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path)).save("model_0000001")
    assert not list(tmp_path.glob("*.part"))


def test_infinite_weights_are_not_saved(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    checkpointer = AtomicCheckpointer(model, str(tmp_path))
    checkpointer.save("model_0000001")
    with torch.no_grad():
        model[1].bias[1] = float("nan")
    with pytest.raises(NonFiniteError, match=r"model_0000002.pth is not saved: .* 1\.bias is not"):
        checkpointer.save("model_0000002")
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"


def test_only_the_saving_process_writes(tmp_path: Path) -> None:
    AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path), save_to_disk=False).save("model_0000001")
    AtomicCheckpointer(nn.Linear(3, 2), "").save("model_0000001")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted(file: Any) -> None:
        file.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, interrupted)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"file": b"old"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Linear(3, 4), r"bias is 2 there and 4 here \(1 more differ\)"),
        (nn.Linear(3, 2, bias=False), "the config's model has no bias; give the config that it"),
        (nn.Sequential(nn.Linear(3, 2)), r"it has no 0\.bias \(3 more differ\)"),
    ],
)
def test_resuming_another_model_is_refused(other: nn.Module, message: str, tmp_path: Path) -> None:
    AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path)).save("model_0000001")
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(UserError, match=rf"--resume: .*0001\.pth holds another model .*{message}"):
        AtomicCheckpointer(other, str(tmp_path)).resume_or_load("")
    assert same_bits(before, other.state_dict())


def test_resuming_another_optimiser_is_refused(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    first = torch.optim.SGD(model.parameters(), lr=0.1)
    AtomicCheckpointer(model, str(tmp_path), optimizer=first).save("model_0000001")
    second = torch.optim.SGD([{"params": [p]} for p in model.parameters()], lr=0.1)
    with pytest.raises(UserError, match=r"--resume: .*0001\.pth does not fit the config: .*group"):
        AtomicCheckpointer(model, str(tmp_path), optimizer=second).resume_or_load("")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], r"model_0000001\.pth is cut off or damaged"),
        (lambda whole: b"", r"model_0000001\.pth is no weight file: it is empty"),
        (lambda whole: b"text", r"model_0000001\.pth is no weight file"),
    ],
)
def test_a_damaged_last_checkpoint_is_named(content: Any, message: str, tmp_path: Path) -> None:
    checkpointer = AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path))
    checkpointer.save("model_0000001")
    file = tmp_path / "model_0000001.pth"
    file.write_bytes(content(file.read_bytes()))
    with pytest.raises(UserError, match=f"--resume: .*{message}"):
        checkpointer.resume_or_load("")


def test_a_last_checkpoint_that_is_gone_or_no_run_is_named(tmp_path: Path) -> None:
    checkpointer = AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path))
    checkpointer.save("model_0000001")
    checkpointer.save("model_0000002")
    (tmp_path / "model_0000002.pth").unlink()
    with pytest.raises(MissingFileError, match=r"0002\.pth, .*: write one of model_0000001\.pth"):
        checkpointer.resume_or_load("")
    torch.save({"weight": torch.ones(2)}, tmp_path / "model_0000002.pth")
    with pytest.raises(
        UserError, match=r"0002\.pth is no checkpoint of a training run \(it has no model\): give"
    ):
        checkpointer.resume_or_load("")


def test_without_a_checkpoint_nothing_is_resumed(tmp_path: Path) -> None:
    assert AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path)).resume_or_load("") == {}


def test_training_ends_in_a_sentence_when_the_disk_is_full(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert end_of(short_run(shapes_overrides, tmp_path, "train.max_iter=2"), monkeypatch)[0] == 0
    last = weights_in(tmp_path / "model_final.pth")
    command = short_run(shapes_overrides, tmp_path, "--resume")
    with room_for(1_000_000):
        code, stderr = end_of(command, monkeypatch)
    assert code == 1
    said = stderr.strip().splitlines()[-1]
    assert said.startswith(f"error: {tmp_path / 'model_0000003.pth'} could not be written (")
    assert "Traceback" not in stderr
    assert same_bits(last, weights_in(tmp_path / "model_final.pth"))
    assert end_of(command, monkeypatch)[0] == 0


def test_resume_with_another_model_ends_in_a_sentence(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = short_run(shapes_overrides, tmp_path, "train.max_iter=1")
    assert end_of(command, monkeypatch)[0] == 0
    other = "model.backbone.out_channels=32"
    code, stderr = end_of([*command, other, "--resume"], monkeypatch)
    assert code == 1
    said = stderr.strip().splitlines()[-1]
    assert said.startswith(f"error: --resume: {tmp_path}/model_final.pth holds another model than")
    assert "32" in said
    assert "give the config that it was trained with, or another output folder" in said


class TestClassNames:
    """Checkpoints carry the names of the classes, and resume on the same ones alone."""

    def test_they_are_saved(self, tmp_path: Path) -> None:
        AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path), classes=["a", "b"]).save("m")
        assert torch.load(tmp_path / "m.pth", weights_only=True)["classes"] == ["a", "b"]
        AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path)).save("m")
        assert "classes" not in torch.load(tmp_path / "m.pth", weights_only=True)

    @pytest.mark.parametrize(
        ("names", "difference"),
        [
            (["dog", "cat"], "class 0 is 'Cat' there and 'dog' here"),
            (["cat", "horse"], "class 1 is 'dog' there and 'horse' here"),
            (["cat"], "class 1 is 'dog' there and 'none' here"),
        ],
    )
    def test_others_are_refused(self, names: list[str], difference: str, tmp_path: Path) -> None:
        AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path), classes=["Cat", "dog"]).save("m")
        model = nn.Linear(3, 2)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(
            UserError, match=rf"--resume: .*m\.pth was trained .*: {difference}; gi"
        ):
            AtomicCheckpointer(model, str(tmp_path), classes=names).resume_or_load("")
        assert same_bits(before, model.state_dict())

    @pytest.mark.parametrize(("saved", "own"), [(None, ["a"]), (["a"], None), (["A "], ["a"])])
    def test_the_same_or_unknown_ones_resume(self, saved: Any, own: Any, tmp_path: Path) -> None:
        AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path), classes=saved).save("m", iteration=3)
        again = AtomicCheckpointer(nn.Linear(3, 2), str(tmp_path), classes=own)
        assert again.resume_or_load("")["iteration"] == 3


def test_weights_without_the_state_of_a_run_are_not_resumed_from(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    AtomicCheckpointer(model, str(tmp_path)).save("converted")
    message = r"--resume: .*converted\.pth is no .* \(it has no trainer\): give it as initial weigh"
    with pytest.raises(UserError, match=message):
        AtomicCheckpointer(model, str(tmp_path), trainer=State(iteration=0)).resume_or_load("")


@pytest.mark.parametrize("part", ["model", "trainer"])
def test_nan_is_not_resumed_from(part: str, tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    state = State(iteration=1, momentum=torch.zeros(2))
    AtomicCheckpointer(model, str(tmp_path), trainer=state).save("model_0000001")
    content = torch.load(tmp_path / "model_0000001.pth", weights_only=True)
    content[part]["bias" if part == "model" else "momentum"][0] = torch.nan
    torch.save(content, tmp_path / "model_0000001.pth")
    place = {"model": r"bias \(1 of its 2\)", "trainer": r"trainer\.momentum: resume from an ear"}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=rf"--resume: .*0001\.pth has NaN.*{place[part]}") as caught:
        AtomicCheckpointer(model, str(tmp_path), trainer=State()).resume_or_load("")
    assert "learning rate" not in str(caught.value)
    assert same_bits(before, model.state_dict())
