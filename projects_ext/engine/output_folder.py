"""The output folder of a run: it can be written to, and no other run writes to it."""

import errno
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import gettempdir
from typing import IO, Any

from projects_ext.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("detectron2.projects_ext")

LOCK = "run.lock"
"""The file that a run locks and that tells who it is; it is there as long as the run."""

ROOM = 500_000
"""What has to fit into the folder for a start, in bytes: config, log and metrics."""

KEYS = "train.output_dir=FOLDER (YAML: OUTPUT_DIR FOLDER)"

_FULL = (errno.ENOSPC, errno.EDQUOT)
_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS_THERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def output_folder(folder: str) -> Iterator[None]:
    """Within, the folder exists, has room, and is this run's alone.

    A write that fails within, because the folder's disk is full, names the folder: the system does
    not say which file it was.

    The lock is the system's: it ends with the process, however that ends, so no lock can be left
    over. It is a lock of the process (``lockf``) and not of the open file (``flock``, which the
    library filelock takes), because data loading processes inherit the latter: they would hold it
    for a while after a kill -9.

    Raises:
        UserError: the folder cannot be made or written to, has become full, or another run has it.
    """
    path = Path(folder)
    _require_writable(path)
    lock = _take(path)
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None or isinstance(error, UserError):
            raise
        _require_writable(path)
        # The failed write has given its room back: either folder may have been the full one.
        raise UserError(_nearly_full(path, error)) from error
    finally:
        if lock is not None:
            (path / LOCK).unlink(missing_ok=True)
            lock.close()


def _require_writable(folder: Path) -> None:
    """Make the folder, and write to it what a run needs at the very least."""
    probe = folder / f".room-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb") as file:
                file.write(bytes(ROOM))
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(_unusable(folder, error)) from error


def _unusable(folder: Path, error: OSError) -> str:
    reason, remedy = error.strerror or str(error), f"choose another one by {KEYS}"
    if error.errno in _FULL:
        return f"the output folder {folder} is full ({reason}): make room there, or {remedy}"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        file = next((one for one in (folder, *folder.parents) if os.path.isfile(one)), folder)
        return f"the output folder {folder} cannot be made, because {file} is a file: {remedy}"
    return f"the output folder {folder} cannot be written to ({reason}): {remedy}"


def _nearly_full(folder: Path, error: OSError) -> str:
    folders = (f"the output folder {folder}", f"the folder of temporary files {gettempdir()}")
    paths = (folder, Path(gettempdir()))
    rooms = [
        f"{name} ({shutil.disk_usage(path).free:,} bytes are free)"
        for name, path in zip(folders, paths, strict=True)
    ]
    return f"a disk is full ({error.strerror}): make room in {' or in '.join(rooms)}"


def require_room(folder: str, size: int) -> None:
    """Refuse a folder without room for a single checkpoint.

    Args:
        folder: it may not exist yet.
        size: of the weights alone, in bytes.

    Raises:
        UserError: with both sizes.
    """
    path = Path(folder).absolute()
    free = shutil.disk_usage(next(one for one in (path, *path.parents) if one.exists())).free
    if free < size:
        raise UserError(
            f"the output folder {folder} has room for {free:,} bytes, and the weights alone take "
            f"{size:,} in each checkpoint: make room there, or choose another one by {KEYS}"
        )


def _take(folder: Path) -> IO[str] | None:
    """The locked file; None where there are no locks."""
    if fcntl is None:
        return None
    path = folder / LOCK
    while True:
        lock = path.open("a+")
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(lock)
            lock.close()
            if error.errno in _HELD_BY_ANOTHER:
                raise UserError(
                    f"{holder} is using the output folder {folder}: wait for its end, or give this "
                    f"one another folder by {KEYS}; weights to evaluate are named by "
                    "train.init_checkpoint=FILE (YAML: MODEL.WEIGHTS FILE)"
                ) from error
            if error.errno not in _NO_LOCKS_THERE:
                raise
            logger.warning(
                f"The file system of {folder} has no locks ({error.strerror}): make sure that no "
                "other run uses this folder"
            )
            return None
        if _is_still(path, lock):
            break
        lock.close()  # its holder has just ended and taken it away
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
    lock.truncate(0)
    lock.write(json.dumps(about))
    lock.flush()
    return lock


def _is_still(path: Path, lock: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _holder(lock: IO[str]) -> str:
    """Who holds the lock, in words."""
    lock.seek(0)
    try:
        about: dict[str, Any] = json.loads(lock.read())
    except json.JSONDecodeError:
        return "another run, which has just started,"  # and has not written it yet
    return f"the run with process id {about['pid']} on {about['host']}, started {about['since']},"


def _now() -> str:
    return datetime.now().isoformat(sep=" ", timespec="seconds")
