"""Unpacking the official downloads."""

import io
import resource
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from projects_ext.data.archives import unpack
from projects_ext.data.preparation import write_label_map
from projects_ext.errors import MissingFileError, UserError

CONTENT = {"set/a.txt": b"a" * 3000, "set/sub/b.txt": b"b" * 500, "readme.txt": b"no"}


def place(name: str) -> str | None:
    return name.replace("set/", "data/") if name.startswith("set/") else None


def write_archive(path: Path, content: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as pack:
            for name, data in content.items():
                pack.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tgz"])
def test_wanted_files_come_out_once(name: str, tmp_path: Path) -> None:
    archive, target = write_archive(tmp_path / name, CONTENT), tmp_path / "root"
    assert unpack(archive, target, place) == 2
    files = {p.relative_to(target).as_posix(): p for p in target.rglob("*") if p.is_file()}
    assert {key: path.read_bytes() for key, path in files.items()} == {
        "data/a.txt": CONTENT["set/a.txt"],
        "data/sub/b.txt": CONTENT["set/sub/b.txt"],
    }
    # Left alone where the size is right, written again where it is not.
    files["data/a.txt"].write_bytes(b"x" * 3000)
    files["data/sub/b.txt"].write_bytes(b"half")
    assert unpack(archive, target, place) == 2
    assert files["data/a.txt"].read_bytes() == b"x" * 3000
    assert files["data/sub/b.txt"].read_bytes() == CONTENT["set/sub/b.txt"]


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tgz"])
def test_half_a_download_is_named(name: str, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / name, CONTENT)
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 3])
    with pytest.raises(UserError, match=rf"{name} is damaged or incomplete.*download it again"):
        unpack(archive, tmp_path / "root", place)
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_file_within_is_named(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "set.zip", CONTENT)
    archive.write_bytes(archive.read_bytes().replace(b"b" * 100, b"c" * 100))
    with pytest.raises(UserError, match=r"damaged or incomplete at set/sub/b\.txt"):
        unpack(archive, tmp_path / "root", place)
    assert not (tmp_path / "root/data/sub/b.txt").exists()


def test_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no archive at"):
        unpack(tmp_path / "set.zip", tmp_path, place)
    page = tmp_path / "set.tar"
    page.write_text("<html>please log in</html>")
    with pytest.raises(UserError, match="download it again"):
        unpack(page, tmp_path, place)
    other = write_archive(tmp_path / "other.zip", {"readme.txt": b"no"})
    with pytest.raises(UserError, match="none of the files of this data set"):
        unpack(other, tmp_path, place)
    outside = write_archive(tmp_path / "outside.zip", {"set/../../x": b"no"})
    with pytest.raises(UserError, match="would lie outside"):
        unpack(outside, tmp_path / "root", place)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Within, no file can become larger than 1,000 bytes, as on a disk that is almost full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tgz"])
def test_a_full_disk_is_not_the_archives_fault(name: str, tmp_path: Path, request: Any) -> None:
    archive = write_archive(tmp_path / name, CONTENT)
    request.getfixturevalue("small_disk")
    with pytest.raises(UserError, match=r"data/a\.txt cannot be written \(.*free space") as error:
        unpack(archive, tmp_path / "root", place)
    assert "download" not in str(error.value)
    assert not [path for path in (tmp_path / "root").rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_made_is_not_the_archives_fault(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "set.zip", CONTENT)
    (tmp_path / "root").write_text("a file in the place of the folder")
    with pytest.raises(UserError, match=r"data/a\.txt cannot be written .*permissions"):
        unpack(archive, tmp_path / "root", place)


def test_a_label_map_on_a_full_disk_is_said(tmp_path: Path, small_disk: None) -> None:
    labels = np.random.RandomState(0).randint(0, 255, (80, 80), dtype=np.uint8)
    with pytest.raises(UserError, match=r"x\.png cannot be written"):
        write_label_map(tmp_path / "labels" / "x.png", labels)
    assert not list((tmp_path / "labels").iterdir())


def test_a_compression_that_this_python_lacks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "set.tar.xz"
    archive.write_bytes(b"\xfd7zXZ\x00" + bytes(20))
    monkeypatch.setitem(sys.modules, "lzma", None)  # as in a Python that was built without it
    with pytest.raises(UserError, match=r"set\.tar\.xz is compressed with lzma, which this Python"):
        unpack(archive, tmp_path, place)
