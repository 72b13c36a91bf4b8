"""Image files of several frames or pages, of which the first one is read as the image."""

from pathlib import Path

from .jobs import open_image

_AS_VIDEO = "several frames in {}: only the first is used; --video-input takes all"
_AS_FILES = "several frames in {}: only the first is used; save the others as files"
_NOTES = {
    "GIF": _AS_VIDEO,
    "PNG": _AS_VIDEO,
    "TIFF": _AS_FILES,
    "WEBP": _AS_FILES,
    "AVIF": _AS_FILES,
}
"""The formats that hold animations or pages; in others, such as MPO, the rest is a preview."""
_ENDINGS = {".apng", ".avif", ".avifs", ".gif", ".png", ".tif", ".tiff", ".webp"}


def left_out(path: str) -> str:
    """What to say of the frames behind the first one of an image file that can be read.

    Returns:
        a sentence with ``{}`` in place of the file's name; empty if there are no other frames.
    """
    if Path(path).suffix.lower() not in _ENDINGS:
        return ""
    try:
        with open_image(path) as image:
            several = getattr(image, "is_animated", False)
            return _NOTES.get(image.format or "", "") if several else ""
    except (OSError, SyntaxError, ValueError):  # damaged behind the first frame
        return ""
