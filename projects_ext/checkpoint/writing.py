"""Files that are there whole or not at all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

UNFINISHED = ".part"
"""What the name of a file ends with while it is written."""


def write_whole(
    path: Path, write: Callable[[IO[bytes]], object], *, survive_power_cut: bool = True
) -> None:
    """Write a file so that at any time its old or its new content is there, complete.

    Args:
        path: the file, in an existing folder.
        write: gets a binary file to write to.
        survive_power_cut: wait for the disk; off for many files that can be made again.

    Raises:
        OSError: the disk is full, for instance; what was there before is untouched.
    """
    beside = path.with_name(path.name + UNFINISHED)
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            if survive_power_cut:
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        failed = _failed_write(error)
        if failed is None:
            raise
        raise failed from error
    if survive_power_cut:
        _force_to_disk(path.parent)


def _failed_write(error: BaseException) -> OSError | None:
    """The OSError behind an error of torch.save, which raises one of its own on top of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause if cause is not error else None
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, RuntimeError) and "PytorchStreamWriter" in str(error):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def _force_to_disk(folder: Path) -> None:
    """Make a renaming in the folder survive a power cut, where the system can do that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
