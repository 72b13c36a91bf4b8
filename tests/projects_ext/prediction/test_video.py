"""Videos, read and written by OpenCV."""

import builtins
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from projects_ext.errors import UserError
from projects_ext.prediction.video import VideoReader, VideoWriter


def frames(count: int, height: int, width: int) -> list[np.ndarray]:
    """Red above blue (BGR), and brighter from frame to frame."""
    made = []
    for index in range(count):
        frame = np.zeros((height, width, 3), dtype=np.uint8)
        frame[: height // 2, :, 2] = 120 + 10 * index
        frame[height // 2 :, :, 0] = 120 + 10 * index
        made.append(frame)
    return made


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 63), (33, 16)])
def test_what_is_written_is_read_again(tmp_path: Path, height: int, width: int) -> None:
    path, written = tmp_path / "clip.mp4", frames(5, height, width)
    with VideoWriter(path, 12.5) as writer:
        for frame in written:
            writer.write(frame)
    with VideoReader(str(path)) as reader:
        assert reader.fps == 12.5
        assert reader.frames == 5
        read = list(reader)
    assert len(read) == 5
    even = (height + height % 2, width + width % 2, 3)
    for frame, expected in zip(read, written, strict=True):
        assert frame.shape == even
        assert np.abs(frame[:height, :width].astype(int) - expected).mean() < 15
    assert read[4][2, 2, 2] > read[0][2, 2, 2]


def test_no_frame_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 25):
        pass
    assert not (tmp_path / "clip.mp4").exists()


def test_files_that_are_no_videos(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"clip.mp4 cannot be opened: it is damaged"):
        VideoReader(str(tmp_path / "clip.mp4"))
    with pytest.raises(UserError, match="camera 97 cannot be opened"):
        VideoReader(97)
    assert "".join(capfd.readouterr()) == ""  # neither OpenCV nor FFmpeg comments on it


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="cannot be written as mp4v video"),
        VideoWriter(tmp_path / "nowhere" / "clip.mp4", 25) as writer,
    ):
        writer.write(frames(1, 8, 8)[0])


def test_without_opencv_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "cv2":
            raise ImportError("No module named 'cv2'")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "cv2")
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match="pip install opencv-python-headless"):
        VideoReader("clip.mp4")
    sys.modules["cv2"] = cv2
