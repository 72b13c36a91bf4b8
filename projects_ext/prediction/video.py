"""Videos and cameras in, videos out, by OpenCV, which is imported when it is used."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from projects_ext.errors import UserError

from .closing import Closing

CODEC = "mp4v"
"""MPEG-4 part 2: every build of OpenCV has it."""
_QUIET = "-8"
"""FFmpeg's number for it: what cannot be read is told in our own words."""
DEFAULT_FPS = 25.0
"""For files and cameras that do not tell."""


def opencv() -> ModuleType:
    """The module ``cv2``.

    Raises:
        UserError: it is not installed.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _QUIET)  # it is read once
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            "videos and cameras need OpenCV: run `pip install opencv-python-headless` (the extra "
            "`video` of this package)"
        ) from error
    return cv2


class VideoReader:
    """The frames of a video file or of a camera; use it in a ``with`` statement.

    Args:
        source: the path of a file, or the number of a camera.

    Attributes:
        fps: frames per second.
        frames: how many there are, as the file says; 0: unknown.
        is_camera: frames come without end.

    Raises:
        UserError: OpenCV is not installed, or cannot open it.
    """

    def __init__(self, source: str | int) -> None:
        cv2 = opencv()
        self.source, self.is_camera = source, isinstance(source, int)
        self._what = f"camera {source}" if self.is_camera else f"the video {source}"
        logs: Any = cv2.utils.logging
        level = logs.setLogLevel(logs.LOG_LEVEL_SILENT)  # what it cannot open is told below
        try:
            self._capture = cv2.VideoCapture(source)
        finally:
            logs.setLogLevel(level)
        if not self._capture.isOpened():
            raise UserError(
                f"{self._what} cannot be opened: connect it, or give another number"
                if self.is_camera
                else f"{self._what} cannot be opened: it is damaged, or of a kind that OpenCV does "
                "not read; convert it to mp4"
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else DEFAULT_FPS
        frames = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frames = int(frames) if not self.is_camera and 0 < frames < 2**31 else 0

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *error: object) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 BGR.

        Raises:
            UserError: there is not even one.
        """
        count = 0
        while True:
            good, frame = self._capture.read()
            if not good:
                break
            count += 1
            yield frame
        if not count:
            raise UserError(f"{self._what} has no frame that OpenCV can decode: convert it to mp4")


class VideoWriter(Closing):
    """Writes an mp4 file frame by frame; use it in a ``with`` statement.

    The codec needs even sizes: the last row or column of odd ones is repeated.

    Args:
        path: of the file.
        fps: frames per second.

    Raises:
        UserError: OpenCV is not installed, or cannot write the file.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._cv2 = opencv()
        self.path, self.fps = path, fps
        self._writer: Any = None
        self._size = (0, 0)

    def write(self, frame: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 BGR; one of another size than the first is resized to it.

        Raises:
            UserError: the file cannot be written.
        """
        height, width = frame.shape[:2]
        if self._writer is None:
            self._open(width + width % 2, height + height % 2)
        if (width + width % 2, height + height % 2) != self._size:
            frame = self._cv2.resize(frame, self._size)
        elif width % 2 or height % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        self._writer.write(np.ascontiguousarray(frame))

    def _open(self, width: int, height: int) -> None:
        code = self._cv2.VideoWriter_fourcc(*CODEC)
        self._size = width, height
        writer = self._cv2.VideoWriter(str(self.path), code, self.fps, self._size)
        if not writer.isOpened():
            raise UserError(
                f"{self.path} cannot be written as {CODEC} video of {width} x {height} pixels: "
                "check the folder's permissions, or give another --output"
            )
        self._writer = writer

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
