"""Files make plain numbers, in NumPy's and PyTorch's own way and no larger than they are."""

import collections
import errno
import os
import pickle
import resource
import struct
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from projects_ext.checkpoint.files import _system_reason, read_file
from projects_ext.checkpoint.plain_arrays import CODES, Held, RefusedError, SizeError
from projects_ext.checkpoint.plain_tensors import tensor_makers

KINDS = ("archive", "old", "pickle")
RECONSTRUCT: Any = np.zeros(1).__reduce__()[0]
FROM_BUFFER: Any = np.zeros(1).__reduce_ex__(5)[0]
SCALAR: Any = np.float64(1).__reduce__()[0]


class Reduced:
    """Pickled as a call, and a state for what it gives."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return self.parts


def write(content: Any, path: Path, kind: str, protocol: int = 2) -> str:
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "archive",
                   pickle_protocol=protocol)  # fmt: skip
    return str(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_of_all_plain_types_come_back(kind: str, protocol: int, tmp_path: Path) -> None:
    arrays = {
        f"{order}{code}": np.array([[0, 1, 1], [1, 0, 1]]).astype(f"{order}{code}")
        for code in CODES
        for order in "<>"
    }
    arrays |= {
        "F": np.asfortranarray(arrays["<f4"]),
        "axes": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
        "none": np.zeros((0, 3)),
        "one": np.array(2.5),
    }
    numbers = [np.float32(0.5), np.int64(-3), np.bool_(True), np.float64("inf")]
    types = {"type": np.dtype(">f4")}
    found = read_file(write([arrays, numbers, types], tmp_path / "x", kind, protocol))
    assert found[1] == [0.5, -3, True, float("inf")]
    assert found[2] == types
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[0][name], array)
        assert type(found[0][name]) is np.ndarray
        assert found[0][name].dtype == array.dtype
        assert found[0][name].flags.writeable


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.array([None, None]), "it holds an array or number of the type 'O8'"),
        (np.zeros(2, [("a", "f4")]), "it holds an array or number of the type 'V4'"),
        (np.array(["a"]), "it holds an array or number of the type 'U1'"),
        (np.zeros(2, complex), "it holds an array or number of the type 'c16'"),
        (np.zeros(2, "datetime64[s]"), "it holds an array or number of the type 'M8'"),
        (np.dtype(object), "it holds an array or number of the type 'O8'"),
        (Reduced(np.dtype, (("f4", (2,)),)), "of the type ('f4', (2,))"),
        (Reduced(RECONSTRUCT, (np.ndarray, (2,), b"b")), "an array in another way than NumPy's"),
        (Reduced(SCALAR, (7, b"")), "an array or number without a type"),
        (
            Reduced(np.dtype, ("f8", False, True), (3, "<", None, None, None, -1, -1, 63)),
            "of a type with parts",
        ),
        (
            Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1,), np.dtype("f8"), 0, [None])),
            "it holds an array of list objects",
        ),
        (
            Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (-1,), np.dtype("f8"), False, b"")),
            "it holds an array of the shape (-1,)",
        ),
        (Reduced(np.zeros, (3,)), "than plain arrays and numbers (numpy.zeros)"),
        (Reduced(np.dtype("f8").type, (1.5,)), "than plain arrays and numbers (numpy.float64)"),
        (np.random.RandomState(0), "than plain arrays and numbers (numpy.random."),
    ],
)  # fmt: skip
def test_everything_else_is_refused_by_name(
    kind: str, value: Any, said: str, tmp_path: Path
) -> None:
    path = write({"model": {"w": np.ones(2)}, "x": [value]}, tmp_path / "x.pth", kind)
    with pytest.raises(ValueError, match=r"x\.pth is refused because ") as caught:
        read_file(path)
    assert said in str(caught.value)
    assert "train.trust_checkpoint=True (YAML: MODEL.TRUST_WEIGHTS True" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_neither_array_nor_type_is_called(kind: str, tmp_path: Path) -> None:
    path = write([Reduced(np.ndarray, ((2, 3),))], tmp_path / "x.pth", kind)
    with pytest.raises(ValueError, match=r"x\.pth is refused because it calls numpy\.ndarray"):
        read_file(path)


@pytest.mark.parametrize(
    "value",
    [
        Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (3,), np.dtype("f8"), False, b"x" * 8)),
        Reduced(FROM_BUFFER, (b"x" * 8, np.dtype("f8"), (3,), "C")),
        Reduced(SCALAR, (np.dtype("f8"), b"x" * 4)),
    ],
)
def test_sizes_that_are_not_there(value: Any, tmp_path: Path) -> None:
    path = write([value], tmp_path / "x.pth", "pickle")
    with pytest.raises(ValueError, match=r"cut off or damaged: .* \(an array of \d+ bytes, by its"):
        read_file(path)


def test_arrays_together_are_no_larger_than_the_file(tmp_path: Path) -> None:
    raw = b"x" * 8000
    many = [Reduced(FROM_BUFFER, (raw, np.dtype("u1"), (8000,), "C")) for _ in range(9)]
    with pytest.raises(ValueError, match=r"\(it claims to hold more than its \d+ bytes\)"):
        read_file(write(many, tmp_path / "x.pth", "pickle", 4))
    assert len(read_file(write(many[:1], tmp_path / "x.pth", "pickle", 4))) == 1


def test_numbers_do_not_make_bytes_or_sets(tmp_path: Path) -> None:
    for maker, argument in ((bytearray, 9), (bytes, 9), (set, "text"), (torch.Size, b"ab")):
        with pytest.raises(ValueError, match="is refused because it makes"):
            read_file(write([Reduced(maker, (argument,))], tmp_path / "x.pth", "pickle"))


def test_functions_and_made_values_cannot_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    change = b"N}X\x04\x00\x00\x00noteK\x01s\x86b."  # the state (None, {"note": 1})
    for name in (b"torch._utils\n_rebuild_tensor_v2", b"_codecs\nencode", b"numpy\nndarray"):
        path.write_bytes(b"\x80\x02c" + name + b"\n" + change)
        with pytest.raises(ValueError, match=r"x\.pkl is refused because it changes a"):
            read_file(str(path))
    assert not hasattr(torch._utils._rebuild_tensor_v2, "note")
    path = write([Reduced(FROM_BUFFER, (b"x", np.dtype("u1"), (1,), "C"), (1,))], path, "pickle")
    with pytest.raises(ValueError, match=r"changes a ndarray after it was made"):
        read_file(str(path))


class TestTensors:
    def test_views_stay_within_their_storage(self) -> None:
        make = tensor_makers()["torch._utils._rebuild_tensor_v2"]
        storage = Held(torch.arange(6.0)._typed_storage())
        assert make(storage, 1, (2, 2), (2, 1), False, {}).value.tolist() == [[1, 2], [3, 4]]
        assert make(storage, 9, (0, 2), (2, 1), False, {}).value.shape == (0, 2)
        assert make(storage, 5, (3,), (0,), False, {}).value.tolist() == [5, 5, 5]
        with pytest.raises(SizeError, match="a tensor of 7 values, by its shape, has 6"):
            make(storage, 1, (2, 3), (3, 1), False, {})
        for wrong in ((-1, (1,), (1,)), (0, (1,), (1, 1)), (0, (1.0,), (1,)), (0, (1,), (-1,))):
            with pytest.raises(RefusedError, match="impossible shape"):
                make(storage, *wrong, False, {})
        with pytest.raises(RefusedError, match="without a storage"):
            make(torch.arange(6.0)._typed_storage(), 0, (1,), (1,), False, {})

    def test_another_size_than_that_of_the_record(self, tmp_path: Path) -> None:
        torch.save({"w": torch.arange(10.0)}, tmp_path / "x.pth")
        with (
            zipfile.ZipFile(tmp_path / "x.pth") as source,
            zipfile.ZipFile(tmp_path / "y.pth", "w") as changed,
        ):
            for entry in source.infolist():
                content = source.read(entry)
                changed.writestr(entry.filename, content.replace(b"K\x0a", b"K\x08"))
        with pytest.raises(ValueError, match=r"y\.pth is cut .* \(a tensor of 32 bytes, .* has 40"):
            read_file(str(tmp_path / "y.pth"))

    def test_a_compressed_archive(self, tmp_path: Path) -> None:
        torch.save({"w": torch.zeros(100, 100)}, tmp_path / "x.pth")
        with (
            zipfile.ZipFile(tmp_path / "x.pth") as source,
            zipfile.ZipFile(tmp_path / "y.pth", "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            for entry in source.infolist():
                packed.writestr(entry.filename, source.read(entry))
        with pytest.raises(ValueError, match=r"y\.pth is refused because it is a compressed archi"):
            read_file(str(tmp_path / "y.pth"))

    @pytest.mark.parametrize("kind", ["archive", "old"])
    def test_every_number_type(self, kind: str, tmp_path: Path) -> None:
        types = "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool complex64"
        if kind == "archive":
            types += " uint16 float8_e5m2"
        values = {name: torch.ones(3).to(getattr(torch, name)) for name in types.split()}
        found = read_file(write(values, tmp_path / "x", kind))
        for name, value in values.items():
            assert found[name].dtype == value.dtype
            assert found[name].float().tolist() == [1, 1, 1]


def test_what_refers_to_itself_or_often_to_one_thing_is_read_once(tmp_path: Path) -> None:
    nested: list[Any] = [torch.ones(1)]
    for _ in range(100):
        nested = [nested, nested]
    nested.append(nested)
    found = read_file(write({"w": torch.ones(2), "x": nested}, tmp_path / "x.pth", "archive"))
    assert found["x"][2] is found["x"]
    assert found["x"][0] is found["x"][1]


class TestReasons:
    """A file is damaged only where it is."""

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    def test_a_disk_with_errors(self) -> None:
        with pytest.raises(OSError, match=r"^/proc/self/mem cannot be read \(Input/output error\)"):
            read_file("/proc/self/mem")

    def test_too_many_open_files(self, tmp_path: Path) -> None:
        path = write({"w": torch.ones(1)}, tmp_path / "x.pth", "archive")
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        try:
            with pytest.raises(OSError, match=r"x\.pth cannot be read \(Too many open files\): ra"):
                read_file(path)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    @pytest.mark.parametrize(
        ("number", "remedy"),
        [
            (errno.EACCES, "give yourself the right to read it (chmod u+r)"),
            (errno.ENOSPC, "make room on the disk that is full"),
            (errno.ESTALE, "check the disk or the network that it lies on"),
        ],
    )
    def test_what_else_the_system_says(self, number: int, remedy: str) -> None:
        said = _system_reason("x.pth", OSError(number, os.strerror(number), "x.pth"))
        assert said == f"x.pth cannot be read ({os.strerror(number)}): {remedy}"

    def test_a_number_that_changed_on_the_disk(self, tmp_path: Path) -> None:
        weight = torch.arange(100.0)
        path = Path(write({"w": weight}, tmp_path / "x.pth", "archive"))
        content = path.read_bytes()
        place = content.index(weight.numpy().tobytes()) + 42
        path.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        with pytest.raises(ValueError, match=r"x\.pth is cut off or damaged: copy or .*CRC-32"):
            read_file(str(path))

    def test_files_without_checksums(self, tmp_path: Path) -> None:
        before = torch.serialization.get_crc32_options()
        torch.serialization.set_crc32_options(False)
        try:
            path = write({"w": torch.ones(1)}, tmp_path / "x.pth", "archive")
        finally:
            torch.serialization.set_crc32_options(before)
        assert read_file(path)["w"] == 1

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(
            FileNotFoundError, match="is a folder: correct the path, to that of a f"
        ):
            read_file(str(tmp_path))

    def test_a_missing_module(self, tmp_path: Path) -> None:
        module = ModuleType("foreign")
        module.Thing = type("Thing", (), {"__module__": "foreign"})  # type: ignore[attr-defined]
        sys.modules["foreign"] = module
        content = {"w": torch.ones(1), "x": module.Thing()}
        path = write(content, tmp_path / "x.pth", "archive")
        del sys.modules["foreign"]
        with pytest.raises(
            ValueError, match=r"needs the Python module foreign, which is not there"
        ):
            read_file(path, trust=True)

    def test_code_that_fails(self, tmp_path: Path) -> None:
        path = write([Reduced(int, ("x",))], tmp_path / "x.pth", "pickle")
        with pytest.raises(
            ValueError, match=r"cannot be read together with the code in it \(Value"
        ):
            read_file(path, trust=True)

    def test_a_header_beyond_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "x.safetensors"
        path.write_bytes(struct.pack("<Q", 10_000) + b'{"a": 1}')
        with pytest.raises(ValueError, match=r"cut off or damaged: .* \(its header ends after its"):
            read_file(str(path))


def test_ordered_dictionaries_keep_their_order(tmp_path: Path) -> None:
    content = collections.OrderedDict(b=1, a=2)
    found = read_file(write(content, tmp_path / "x.pth", "pickle"))
    assert type(found) is collections.OrderedDict
    assert list(found) == ["b", "a"]
