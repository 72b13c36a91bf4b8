"""Files that are no weights, or more than weights."""

import collections
import io
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from projects_ext.checkpoint.files import read_file


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class HistoryBuffer:
    """As MMEngine pickles its loss curves."""

    def __init__(self) -> None:
        self.curve = np.arange(3.0)


HistoryBuffer.__module__ = "mmengine.logging.history_buffer"


def state() -> dict[str, torch.Tensor]:
    return collections.OrderedDict(weight=torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("name", ["weights.pth", "weights.pkl", "weights"])
def test_pytorch_files_old_and_new_under_any_name(tmp_path: Path, archive: bool, name: str) -> None:
    path = tmp_path / name
    torch.save({"state_dict": state(), "meta": {"epoch": 3, "best": np.float64(0.5)}}, path,
               _use_new_zipfile_serialization=archive)  # fmt: skip
    content = read_file(str(path))
    assert torch.equal(content["state_dict"]["weight"], state()["weight"])
    assert content["meta"] == {"epoch": 3, "best": 0.5}


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickled_arrays_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "weights.pkl"
    arrays = {"w": np.arange(6.0).reshape(2, 3), "order": np.asfortranarray(np.eye(3)), "n": 1}
    path.write_bytes(pickle.dumps({"model": arrays, "name": b"x"}, protocol))
    content = read_file(str(path))
    assert content["model"]["n"] == 1
    np.testing.assert_array_equal(content["model"]["w"], arrays["w"])
    np.testing.assert_array_equal(content["model"]["order"], arrays["order"])


def test_arrays_pickled_by_numpy_1(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    content = pickle.dumps(np.arange(4.0), 2).replace(b"numpy._core", b"numpy.core")
    path.write_bytes(content)
    np.testing.assert_array_equal(read_file(str(path)), np.arange(4.0))


def test_loss_curves_of_mmengine_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = type(torch)("mmengine.logging.history_buffer")
    module.HistoryBuffer = HistoryBuffer
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, type(torch)(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.save({"message_hub": {"loss": HistoryBuffer()}, "state_dict": state()},
               tmp_path / "epoch_12.pth")  # fmt: skip
    monkeypatch.undo()
    assert set(read_file(str(tmp_path / "epoch_12.pth"))) == {"message_hub", "state_dict"}


def code_file(kind: str, path: Path, marker: Path) -> None:
    content = {"state_dict": state(), "model": {"w": np.ones(3)}, "hook": Code(marker)}
    if kind == "pickle":
        del content["state_dict"]
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "archive")


@pytest.mark.parametrize("kind", ["archive", "old", "pickle"])
def test_code_is_refused_unless_the_file_is_trusted(tmp_path: Path, kind: str) -> None:
    path, marker = tmp_path / "evil.pth", tmp_path / "it_ran"
    code_file(kind, path, marker)
    with pytest.raises(ValueError, match="evil.pth is refused because it can run code") as caught:
        read_file(str(path))
    assert "(it calls for posix.mkdir)" in str(caught.value)
    assert "train.trust_checkpoint=True" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    read_file(str(path), trust=True)
    assert marker.exists()


@pytest.mark.parametrize("kind", ["archive", "old", "pickle"])
@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_a_file_that_is_cut_off(tmp_path: Path, kind: str, kept: float) -> None:
    buffer = io.BytesIO()
    weights = {"a": torch.rand(64, 64), "b": torch.rand(64, 64)}
    if kind == "pickle":
        pickle.dump({name: value.numpy() for name, value in weights.items()}, buffer)
    else:
        torch.save(weights, buffer, _use_new_zipfile_serialization=kind == "archive")
    path = tmp_path / "cut.pth"
    path.write_bytes(buffer.getvalue()[: int(kept * len(buffer.getvalue()))])
    with pytest.raises(
        ValueError, match="cut.pth is cut off or damaged: copy or download it again"
    ):
        read_file(str(path))


@pytest.mark.parametrize(
    ("content", "meaning"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html>", "web page"),
        (b"GIF89a", "neither a PyTorch file nor a pickle"),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes, meaning: str) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"other.pth is no weight file: .*{meaning}"):
        read_file(str(path))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no weight file .*nowhere.pth: correct the path"):
        read_file(str(tmp_path / "nowhere.pth"))
    with pytest.raises(FileNotFoundError, match="correct the path"):
        read_file(str(tmp_path))


class TestSafetensors:
    def test_tensors_and_what_the_header_says(self, tmp_path: Path) -> None:
        path = tmp_path / "weights"
        save_file(state(), path, metadata={"format": "pt", "classes": '["a", "b"]', "x": "[1"})
        content = read_file(str(path))
        assert torch.equal(content["model"]["weight"], state()["weight"])
        rest = {key: content[key] for key in content if key != "model"}
        assert rest == {"format": "pt", "classes": ["a", "b"], "x": "[1"}

    def test_a_header_as_long_as_pickles_begin(self, tmp_path: Path) -> None:
        """Its first byte is then that of a pickle."""
        path = tmp_path / "weights.pkl"
        for filler in range(0, 256, 8):
            save_file(state(), path, metadata={"x": "x" * filler})
            if path.read_bytes()[0] == 0x80:
                break
        assert path.read_bytes()[0] == 0x80
        assert torch.equal(read_file(str(path))["model"]["weight"], state()["weight"])

    @pytest.mark.parametrize("kept", [0.5, 0.98])
    def test_cut_off(self, tmp_path: Path, kept: float) -> None:
        path = tmp_path / "cut.safetensors"
        save_file({"a": torch.rand(64, 64)}, path)
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(ValueError, match="cut.safetensors is cut off or damaged: copy or down"):
            read_file(str(path))
