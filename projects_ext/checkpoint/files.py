"""Reading weight files without running code that they may hold.

The format is told by the first bytes, not by the file's name. PyTorch's archives (since 1.6), its
older files and other pickles are read by :mod:`projects_ext.checkpoint.unpickling`, after a check
that an archive does not claim to hold more than it can. Safetensors hold nothing but tensors.
"""

import errno
import json
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from .plain_arrays import RefusedError, SizeError
from .unpickling import RestrictedPickle, StandIn, plain

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_OLD_TORCH = b"\x8a\x0al\xfc\x9cF\xf9\x20j\xa8P\x19."
"""PyTorch before 1.6 starts its files with a pickled magic number, in whatever protocol."""

_CHUNK = 1 << 22
"""Bytes that are read at once where only their checksum matters."""

_GIT_LFS = b"version https://git-lfs"


def read_file(path: str, trust: bool = False) -> Any:
    """The content of a weight file, tensors on the CPU; see :func:`read_with_remarks`."""
    return read_with_remarks(path, trust)[0]


def read_with_remarks(path: str, trust: bool = False) -> tuple[Any, list[str]]:
    """The content of a weight file, tensors on the CPU, and what was left out of it.

    Args:
        path: a local file.
        trust: let the file run the code that it holds. Only for files whose origin is beyond
            doubt: they can do whatever the user can.

    Returns:
        the content, and a line for people if something in it was no tensor and no plain value.

    Raises:
        FileNotFoundError: no such file.
        OSError: the system does not hand it out (permissions, a disk with errors).
        ValueError: the file is empty, cut off, of another kind, or holds code.
    """
    if not Path(path).is_file():
        is_folder = Path(path).is_dir()
        wrong = f"{path} is a folder" if is_folder else f"there is no weight file {path}"
        inside = ", to that of a file in it" if is_folder else ""
        raise FileNotFoundError(
            f"{wrong}: correct the path{inside} (it is relative to the folder in which the program "
            "was started)"
        )
    try:
        with open(path, "rb") as file:
            head = file.read(64)
        if not _is_safetensors(head) and not head.startswith((_ZIP, _PICKLE)):
            raise _OtherFileError(_what_it_is(head))
        return _load(path, head, trust)
    # A damaged file may raise anything; trusted code, too.
    except Exception as error:
        # "Invalid argument" is a wrong place in a file that is cut off, and not the disk's fault.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise OSError(_system_reason(path, error)) from error
        raise ValueError(_reason(path, error, trust)) from error


def _load(path: str, head: bytes, trust: bool) -> tuple[Any, list[str]]:
    size = os.path.getsize(path)
    if _is_safetensors(head):
        if 8 + struct.unpack("<Q", head[:8])[0] > size:
            raise EOFError("its header ends after its end")
        return _load_safetensors(path), []
    if head.startswith(_ZIP):
        sizes = _storage_sizes(path, size, trust)
        _require_checksums(path)
        return _load_torch(path, trust, RestrictedPickle(size, sizes))
    if _OLD_TORCH in head:
        _require_no_tar(path)
        return _load_torch(path, trust, RestrictedPickle(size))
    return _load_pickle(path, trust, RestrictedPickle(size))


def _is_safetensors(head: bytes) -> bool:
    """Whether the file starts with the length of a JSON header, and with the header."""
    return len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 32


def _load_safetensors(path: str) -> dict[str, Any]:
    """The tensors as ``model``, beside what the header says (its values are JSON or text)."""
    with safe_open(path, framework="pt", device="cpu") as file:
        entries = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = file.metadata() or {}
    return {**{key: _from_json(text) for key, text in about.items()}, "model": entries}


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _storage_sizes(path: str, size: int, trust: bool) -> dict[str, int]:
    """The sizes of the storages in PyTorch's archive, after a look at what its entries claim."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    root = next(iter(entries), "").partition("/")[0]
    if f"{root}/constants.pkl" in entries:
        raise _ProgramError
    if trust:
        return {}
    # PyTorch never compresses, so that nothing small can become large.
    compressed = [name for name, x in entries.items() if x.compress_type != zipfile.ZIP_STORED]
    if compressed:
        raise RefusedError(
            f"it is a compressed archive ({compressed[0]}), which PyTorch does not write"
        )
    if sum(entry.file_size for entry in entries.values()) > size:
        raise SizeError(f"it claims to hold more than its {size} bytes")
    folder = f"{root}/data/"
    return {
        name.removeprefix(folder): entry.file_size
        for name, entry in entries.items()
        if name.startswith(folder)
    }


def _require_checksums(path: str) -> None:
    """Refuse an archive with an entry that changed after it was written; torch.load would not.

    Raises:
        zipfile.BadZipFile: with the entry's name.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.CRC:  # 0: written without (torch.serialization.set_crc32_options)
                with archive.open(entry) as content:
                    while content.read(_CHUNK):
                        pass


class _ProgramError(Exception):
    """The file is a TorchScript program."""


class _OtherFileError(Exception):
    """The file is of another kind; the text says of which and what to do."""


class _ObjectError(Exception):
    """The file holds an object of the named class."""


def _require_no_tar(path: str) -> None:
    """Refuse what PyTorch's reader of its oldest files would unpack to the disk."""
    try:
        tarfile.open(path, "r:").close()
    except tarfile.TarError:
        return
    raise RefusedError("it is a tar archive")


def _load_torch(path: str, trust: bool, module: RestrictedPickle) -> tuple[Any, list[str]]:
    pickle_module: Any = pickle if trust else module
    content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=pickle_module)
    return (content, []) if trust else _cleaned(content, module)


def _load_pickle(path: str, trust: bool, module: RestrictedPickle) -> tuple[Any, list[str]]:
    with open(path, "rb") as file:  # Detectron's were written by Python 2
        if trust:
            return pickle.load(file, encoding="latin1"), []
        return _cleaned(module.load(file, encoding="latin1"), module)


def _cleaned(content: Any, module: RestrictedPickle) -> tuple[Any, list[str]]:
    """What was read, of plain values alone, and a line on what was left out."""
    if isinstance(content, StandIn):
        raise _ObjectError(type(content).__name__)
    content, names = plain(content), sorted(module.left_out)
    if not names:
        return content, []
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    remark = f"objects of {shown} in the file were left out: only tensors and plain values are read"
    return content, [remark]


def _what_it_is(head: bytes) -> str:
    """Why a file with these first bytes cannot hold weights, and what to do."""
    if not head:
        return "it is empty; copy or download it again"
    if head.startswith(_GIT_LFS):
        return "it is a pointer of Git LFS; fetch the file itself with `git lfs pull`"
    if head.lstrip()[:1] == b"<":
        return "it is a web page; download the file that the page is about"
    return "it is neither a PyTorch file nor a pickle; give a .pth, .pkl or .safetensors file"


_TRUST = "set train.trust_checkpoint=True (YAML: MODEL.TRUST_WEIGHTS True; in Python trust=True)"
_AGAIN = "copy or download it again"
_CUT_OFF = (SizeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError, struct.error)


def _reason(path: str, error: Exception, trust: bool) -> str:
    """One sentence on a file that could not be read."""
    first_line = str(error).strip().split("\n")[0]
    detail = first_line.split(". ")[0].rstrip(".") or type(error).__name__
    if isinstance(error, RefusedError) and not isinstance(error, SizeError):
        return (
            f"{path} is refused because {error}: save the weights alone, or, if you trust its "
            f"origin, {_TRUST}"
        )
    if isinstance(error, _OtherFileError):
        return f"{path} is no weight file: {error}"
    if isinstance(error, _ObjectError):
        return (
            f"{path} holds a whole {error} and no weights by name: where that can be read, save "
            "its state_dict() and give that file"
        )
    if isinstance(error, _ProgramError):
        return f"{path} is a TorchScript program: save the model's state_dict() and give that file"
    if isinstance(error, MemoryError):
        size = os.path.getsize(path)
        return (
            f"{path} asks for more memory than there is ({size:,} bytes are in the file): close "
            f"other programs or use a machine with more; if the file is not whole, {_AGAIN}"
        )
    if isinstance(error, ImportError):
        return (
            f"{path} needs the Python module {error.name}, which is not there: install it, or read "
            "the file without the code in it, by train.trust_checkpoint=False (YAML: "
            "MODEL.TRUST_WEIGHTS False)"
        )
    if trust and not isinstance(error, _CUT_OFF):
        return (
            f"{path} cannot be read together with the code in it ({type(error).__name__}: {detail})"
            ": install the versions that it was written with, or read it without its code, by "
            "train.trust_checkpoint=False (YAML: MODEL.TRUST_WEIGHTS False)"
        )
    return f"{path} is cut off or damaged: {_AGAIN} ({detail})"


_REMEDIES = {
    errno.EACCES: "give yourself the right to read it (chmod u+r)",
    errno.ENOSPC: "make room on the disk that is full",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "close other programs or use a machine with more memory",
}


def _system_reason(path: str, error: OSError) -> str:
    """One sentence on a file that the system does not hand out; the file may be whole."""
    remedy = _REMEDIES.get(error.errno or 0, "check the disk or the network that it lies on")
    named = f" ({error.filename})" if error.filename and str(error.filename) != path else ""
    return f"{path} cannot be read ({error.strerror}{named}): {remedy}"
