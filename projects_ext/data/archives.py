"""Unpacking downloaded archives, again and again if need be."""

import importlib
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from projects_ext.checkpoint.writing import write_whole
from projects_ext.errors import MissingFileError, UserError

Place = Callable[[str], str | None]
"""From the name of a file in an archive to its path below the target folder; None: not wanted."""

# How compressed archives begin, and the module that reads them.
_MODULES = {b"\xfd7zXZ\x00": "lzma", b"BZh": "bz2", b"\x1f\x8b": "zlib", b"PK\x03\x04": "zlib"}

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError)


def unpack(archive: Path, target: Path, place: Place) -> int:
    """Write the wanted files of a zip or tar archive; those of the right size are left alone.

    Args:
        archive: ``.zip``, ``.tar``, ``.tgz`` or ``.tar.gz``.
        target: folder.
        place: says where each file goes.

    Returns:
        how many wanted files the archive has.

    Raises:
        MissingFileError: no such archive.
        UserError: it is incomplete, none at all, or has no wanted file; this Python cannot unpack
            it; or a file cannot be written.
    """
    if not archive.is_file():
        raise MissingFileError(f"no archive at {archive}: correct its path")
    _require_module(archive)
    wanted, name = 0, ""
    try:
        for name, size, opened in _members(archive):
            where = place(name)
            if where is not None:
                wanted += 1
                path = _inside(target, where)
                if not path.is_file() or path.stat().st_size != size:
                    _write(path, opened)
    except _DAMAGED as error:
        if isinstance(error, UserError):
            raise
        at = f" at {name}" if name else ""
        raise UserError(
            f"{archive} is damaged or incomplete{at} ({error}): download it again"
        ) from error
    if not wanted:
        raise UserError(
            f"{archive} has none of the files of this data set: give the official download (see "
            "datasets/README.md)"
        )
    return wanted


def _require_module(archive: Path) -> None:
    """Refuse a compression that this Python was built without, which tarfile calls damaged."""
    with archive.open("rb") as file:
        start = file.read(8)
    for signature, module in _MODULES.items():
        if start.startswith(signature):
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise UserError(
                    f"{archive} is compressed with {module}, which this Python was built without: "
                    "use another Python, or decompress the archive to a .tar first"
                ) from error


def _members(archive: Path) -> Iterator[tuple[str, int, Callable[[], IO[bytes]]]]:
    """Name, size and content of each file in an archive, in its order."""
    label = f"unpacking {archive.name}"
    if zipfile.is_zipfile(archive) or archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as pack:
            for info in tqdm(pack.infolist(), desc=label, unit="file"):
                if not info.is_dir():
                    yield info.filename, info.file_size, partial(pack.open, info)
        return
    # A tar archive does not say how many files it has: progress is that of its bytes.
    size = archive.stat().st_size
    with (
        archive.open("rb") as raw,
        tarfile.open(fileobj=raw, mode="r:*") as tar,
        tqdm(desc=label, total=size, unit="B", unit_scale=True) as bar,
    ):
        for member in tar:
            bar.update(raw.tell() - bar.n)
            if member.isfile():
                yield member.name, member.size, partial(_extract, tar, member)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content is not None  # it is a file
    return content


def _inside(target: Path, where: str) -> Path:
    if PurePosixPath(where).is_absolute() or ".." in PurePosixPath(where).parts:
        raise UserError(f"the archive has a file that would lie outside {target}: {where}")
    return target / where


def _write(path: Path, opened: Callable[[], IO[bytes]]) -> None:
    """Write a file of an archive; what is wrong with the disk is not the archive's fault.

    Raises:
        UserError: the file cannot be written.
        OSError, zlib.error, …: the archive cannot be read.
    """
    while_reading: list[Exception] = []

    def copy(file: IO[bytes]) -> None:
        with opened() as source:
            while chunk := _next_chunk(source, while_reading):
                file.write(chunk)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, copy, survive_power_cut=False)
    except OSError as error:
        if while_reading:
            raise while_reading[0] from error
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): free space on the disk, or "
            "correct the permissions of its folder, and run this again"
        ) from error


def _next_chunk(source: IO[bytes], failed: list[Exception]) -> bytes:
    try:
        return source.read(1 << 20)
    except Exception as error:
        failed.append(error)
        raise
