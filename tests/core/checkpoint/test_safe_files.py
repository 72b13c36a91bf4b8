"""Files may hold arrays and numbers of plain types, saved as NumPy does it, and nothing else."""

import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from detectron2.checkpoint import DetectionCheckpointer

pytestmark = pytest.mark.core_only(reason="upstream lets files run code")

RECONSTRUCT: Any = np.zeros(1).__reduce__()[0]
F8 = np.dtype("f8")


class Reduced:
    """Pickled as a call, and a state for what it gives."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def load(folder, content, kind, protocol=2):
    """What else a checkpoint of that kind holds, as it is read."""
    content = {"model": {}, "content": content, "__author__": "x"}
    path = folder / f"x.{kind}"
    if kind == "pkl":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol)
    return DetectionCheckpointer(nn.Identity()).load(str(path))["content"]


@pytest.mark.parametrize(("kind", "protocol"), [("pkl", 2), ("pkl", 4), ("pkl", 5), ("pth", 2)])
def test_plain_arrays_and_numbers(tmp_path, kind, protocol):
    codes = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    arrays = [np.array([[0, 1, 1], [1, 0, 1]]).astype(o + code) for code in codes for o in "<>"]
    arrays += [np.asfortranarray(arrays[-1]), np.zeros((0, 3)), np.array(2.5)]
    numbers = [np.float32(0.5), np.int64(-3), np.bool_(True), np.float64("inf")]
    content = {"arrays": arrays, "numbers": numbers, "pair": (arrays[0], 1), "text": "x"}
    found = load(tmp_path, content, kind, protocol)
    assert type(found["pair"][0]) is np.ndarray
    assert found["numbers"] == [0.5, -3, True, float("inf")]
    assert len(found["arrays"]) == len(arrays)
    for array, expected in zip(found["arrays"], arrays, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert type(array) is np.ndarray
        assert array.dtype == expected.dtype
        assert array.flags.writeable


@pytest.mark.parametrize("kind", ["pkl", "pth"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.array([None, None]), "type 'O8'"),
        (np.zeros(2, [("a", "f4")]), "type 'V4'"),
        (np.array(["a"]), "type 'U1'"),
        (np.zeros(2, complex), "type 'c16'"),
        (np.dtype(object), "type 'O8'"),
        (Reduced(np.ndarray, ((2, 3),)), ""),
        (Reduced(RECONSTRUCT, (np.ndarray, (2,), b"b")), "in another way than NumPy's"),
        (Reduced(np.dtype, ("f8", False, True), (3, "<", None, None, None, -1, -1, 63)), "parts"),
        (Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1,), F8, 0, [None])), "its 8 bytes"),
        (Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (3,), F8, 0, b"x")), "its 24 bytes"),
        (Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (-1,), F8, 0, b"")), "shape (-1,)"),
    ],
)
def test_everything_else_is_refused(tmp_path, kind, value, said):
    with pytest.raises(ValueError, match=rf"x\.{kind} is not loaded: ") as caught:
        load(tmp_path, [value], kind)
    assert said in str(caught.value)


def test_functions_and_made_values_cannot_be_changed(tmp_path):
    for name in (b"_codecs\nencode", b"numpy\nndarray", b"numpy._core.multiarray\nscalar"):
        content = b"\x80\x02c" + name + b"\nN}X\x04\x00\x00\x00noteK\x01s\x86b."
        (tmp_path / "x.pkl").write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.pkl is not loaded: .*\(it changes a"):
            DetectionCheckpointer(nn.Identity()).load(str(tmp_path / "x.pkl"))


def test_a_compressed_archive(tmp_path):
    torch.save({"w": torch.zeros(100, 100)}, tmp_path / "x.pth")
    with (
        zipfile.ZipFile(tmp_path / "x.pth") as source,
        zipfile.ZipFile(tmp_path / "y.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in source.infolist():
            packed.writestr(entry.filename, source.read(entry))
    with pytest.raises(ValueError, match=r"y\.pth is not loaded: .*\(it is compressed"):
        DetectionCheckpointer(nn.Identity()).load(str(tmp_path / "y.pth"))


def test_what_is_not_the_files_fault(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        DetectionCheckpointer(nn.Identity()).load(str(tmp_path))
