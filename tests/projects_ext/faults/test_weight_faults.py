"""``train_net.py`` on initial weights that are damaged, no weights, or a danger."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.projects_ext.faults.runs import end_of, short_run


class Dangerous:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture(scope="module")
def weights(shapes_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real checkpoint."""
    output = tmp_path_factory.mktemp("weights")
    command = short_run(shapes_overrides, output, "train.max_iter=1")
    with pytest.MonkeyPatch.context() as patch:
        assert end_of(command, patch)[0] == 0
    return (output / "model_final.pth").read_bytes()


@pytest.mark.parametrize("evaluating", [True, False])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "is cut off or damaged: copy or download it"),
        (lambda whole: b"", "is no weight file: it is empty; copy or download it again"),
        (lambda whole: b"<html>404</html>", "is no weight file: it is a web page"),
        (lambda whole: b"\x00" * 500, "is no weight file: it is neither a PyTorch file nor a"),
    ],
)
def test_damaged_weights_end_in_a_sentence(
    content: Callable[[bytes], bytes],
    message: str,
    evaluating: bool,
    weights: bytes,
    shapes_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(content(weights))
    more = ["--eval-only"] if evaluating else []
    command = short_run(shapes_overrides, tmp_path / "out", f"train.init_checkpoint={file}", *more)
    code, stderr = end_of(command, monkeypatch)
    assert code == 1
    assert stderr.strip().splitlines()[-1].startswith(f"error: {file} {message}")
    assert "Traceback" not in stderr


@pytest.mark.parametrize("save", [torch.save, lambda x, file: file.write(pickle.dumps(x))])
def test_code_in_weights_is_refused_unless_asked_for(
    save: Callable[[Any, Any], Any],
    shapes_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, trace = tmp_path / "weights.pth", tmp_path / "trace"
    with file.open("wb") as opened:
        save({"model": {"weight": torch.ones(2).numpy()}, "extra": Dangerous(trace)}, opened)
    keys = [f"train.init_checkpoint={file}", "train.max_iter=1"]
    command = short_run(shapes_overrides, tmp_path / "out", *keys)
    code, stderr = end_of(command, monkeypatch)
    said = stderr.strip().splitlines()[-1]
    assert code == 1
    assert said.startswith(f"error: {file} is refused because it can run code when it is read")
    assert "train.trust_checkpoint=True" in said
    assert not trace.exists()
    code, stderr = end_of([*command, "train.trust_checkpoint=True"], monkeypatch)
    assert code == 1  # none of its weights fits
    assert "is refused" not in stderr
    assert trace.exists()


def test_missing_weights_are_named(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = short_run(shapes_overrides, tmp_path, "train.init_checkpoint=nowhere.pth")
    code, stderr = end_of(command, monkeypatch)
    assert code == 1
    assert "nowhere.pth" in stderr.strip().splitlines()[-1]
    assert "Traceback" not in stderr


def test_another_models_weights_are_refused(
    weights: bytes, shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(weights)
    keys = [f"train.init_checkpoint={file}", "model.backbone.out_channels=32"]
    code, stderr = end_of(short_run(shapes_overrides, tmp_path / "out", *keys), monkeypatch)
    assert code == 1
    assert "which the number of classes does not explain" in stderr.strip().splitlines()[-1]
