"""Reading weight files without running code that they may hold.

The format is told by the first bytes, not by the file's name: PyTorch's archives (since 1.6) and
its older files go to ``torch.load(weights_only=True)``, and where that refuses what they hold
besides, to :mod:`projects_ext.checkpoint.unpickling`, as other pickles do. Safetensors hold
nothing but tensors.
"""

import errno
import json
import pickle
import re
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from .unpickling import ARRAYS, RestrictedPickle, StandIn, without_stand_ins

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_OLD_TORCH = b"\x8a\x0al\xfc\x9cF\xf9\x20j\xa8P\x19."
"""PyTorch before 1.6 starts its files with a pickled magic number, in whatever protocol."""

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
        ValueError: the file is empty, cut off, of another kind, or holds code.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no weight file {path}: correct the path (it is relative to the folder in "
            "which the program was started)"
        )
    with open(path, "rb") as file:
        head = file.read(64)
    safetensors = _is_safetensors(head)
    if not safetensors and not head.startswith((_ZIP, _PICKLE)):
        raise ValueError(f"{path} is no weight file: {_what_it_is(head)}")
    try:
        if safetensors:
            return _load_safetensors(path), []
        if head.startswith(_ZIP) or _OLD_TORCH in head:
            return _load_torch(path, trust)
        return _load_pickle(path, trust)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise anything, "invalid argument" included
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise ValueError(_reason(path, error)) from error


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


def _load_torch(path: str, trust: bool) -> tuple[Any, list[str]]:
    if trust:
        return torch.load(path, map_location="cpu", weights_only=False), []
    number_types = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]
    allowed: list[Any] = [(made_by, name) for name, made_by in ARRAYS.items()]
    with warnings.catch_warnings():
        # About what is read in another way below, or ends in a sentence.
        warnings.simplefilter("ignore", UserWarning)
        try:
            with torch.serialization.safe_globals([*allowed, *number_types]):
                return torch.load(path, map_location="cpu", weights_only=True), []
        except pickle.UnpicklingError:
            # Something that PyTorch does not know to be safe: nothing of it is made here either.
            only: Any = RestrictedPickle()
            content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=only)
    return _cleaned(content, only)


def _load_pickle(path: str, trust: bool) -> tuple[Any, list[str]]:
    module: Any = pickle if trust else RestrictedPickle()
    with open(path, "rb") as file:
        content = module.load(file, encoding="latin1")  # Detectron's were written by Python 2
    return (content, []) if trust else _cleaned(content, module)


def _cleaned(content: Any, module: RestrictedPickle) -> tuple[Any, list[str]]:
    """What was read without stand-ins, and a line on what they stood for."""
    if isinstance(content, StandIn):
        raise pickle.UnpicklingError(f"OBJECT {type(content).__name__}")
    names = sorted(module.left_out)
    if not names:
        return content, []
    content = without_stand_ins(content)
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


def _reason(path: str, error: Exception) -> str:
    """One sentence on a file that could not be read."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named:
        return (
            f"{path} is refused because it can run code when it is read (it calls for {named[1]}): "
            "save the weights alone, or, if you trust its origin, set train.trust_checkpoint=True "
            "(in YAML MODEL.TRUST_WEIGHTS, in Python trust=True)"
        )
    if str(error).startswith("OBJECT "):
        return (
            f"{path} holds a whole {str(error).removeprefix('OBJECT ')} and no weights by name: "
            "where that can be read, save its state_dict() and give that file"
        )
    if "TorchScript" in str(error):
        return f"{path} is a TorchScript program: save the model's state_dict() and give that file"
    first_line = str(error).strip().split("\n")[0]
    detail = first_line.split(". ")[0].rstrip(".") or type(error).__name__
    return f"{path} is cut off or damaged: copy or download it again ({detail})"
