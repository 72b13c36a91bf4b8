"""Which file it is, by its content."""

import hashlib

from detectron2.utils.file_io import PathManager


def file_hash(path: str) -> str:
    """SHA-256 of a file that PathManager can open, as hexadecimal digits."""
    digest = hashlib.sha256()
    with PathManager.open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
