"""Images in a window, by OpenCV, which is imported when it is used."""

import os
import sys
from types import ModuleType

import numpy as np
from PIL import Image

from projects_ext.errors import UserError

TITLE = "visualize_data"
_ENDING_KEYS = {ord("q"), 27}
_INSTEAD = "leave --show out, and look at the files in --output-dir"


class Window:
    """A window that shows one image after the other.

    Raises:
        UserError: OpenCV is not installed or has no windows, or there is no screen.
    """

    def __init__(self) -> None:
        if sys.platform == "linux" and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            # OpenCV's toolkit would end the process.
            raise UserError(f"--show: there is no screen (DISPLAY is not set): {_INSTEAD}")
        self._cv2 = _opencv()
        try:
            self._cv2.namedWindow(TITLE, self._cv2.WINDOW_NORMAL)
        except self._cv2.error as error:
            raise UserError(
                "--show: this OpenCV cannot open windows (opencv-python-headless has none): "
                f"install opencv-python instead, or {_INSTEAD}"
            ) from error

    def show(self, image: Image.Image, name: str) -> bool:
        """Show an image until a key is pressed.

        Returns:
            whether to go on.
        """
        self._cv2.setWindowTitle(TITLE, name)
        self._cv2.imshow(TITLE, np.asarray(image)[:, :, ::-1])
        return self._cv2.waitKey() & 0xFF not in _ENDING_KEYS


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            f"--show needs OpenCV: run `pip install opencv-python`, or {_INSTEAD}"
        ) from error
    return cv2
