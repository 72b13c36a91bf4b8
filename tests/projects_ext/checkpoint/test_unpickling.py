"""Foreign objects in weight files: left out where they only hold values, never run."""

import argparse
import collections
import datetime
import os
import pathlib
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from projects_ext.checkpoint import load_weights
from projects_ext.checkpoint.files import read_file, read_with_remarks
from tests.projects_ext.checkpoint.small_models import (
    assert_has_weights,
    openmmlab_weights,
    saved,
    weights,
)

RAN: list[str] = []


def run_me(word: str) -> str:
    """What a file of a foreign package could want called."""
    RAN.append(word)
    return word


class Call:
    """Pickled as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def foreign() -> Iterator[ModuleType]:
    """A package that is there when a file is written, and gone when it is read."""
    package, module = ModuleType("foreign"), ModuleType("foreign.things")

    class Config(dict):
        pass

    class Plain:
        def __init__(self, value: Any = 0) -> None:
            self.value = value

    class Items(list):
        pass

    for made in (Config, Plain, Items):
        made.__module__, made.__qualname__ = "foreign.things", made.__name__
        setattr(module, made.__name__, made)
    run = type(run_me)(run_me.__code__, globals(), "run")
    run.__module__, run.__qualname__ = "foreign.things", "run"
    module.run = run
    sys.modules.update({"foreign": package, "foreign.things": module})
    yield module
    for name in ("foreign", "foreign.things"):
        sys.modules.pop(name, None)


def write(content: Any, path: Path, kind: str, protocol: int = 2) -> str:
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "archive",
                   pickle_protocol=protocol)  # fmt: skip
    sys.modules.pop("foreign.things", None)
    sys.modules.pop("foreign", None)
    return str(path)


KINDS = ("archive", "old", "pickle")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_foreign_objects_are_left_out(
    foreign: ModuleType, kind: str, protocol: int, tmp_path: Path
) -> None:
    array = np.arange(6.0).reshape(2, 3)
    value = array if kind == "pickle" else torch.from_numpy(array)
    content = {
        "state_dict": collections.OrderedDict(weight=value),
        "meta": {
            "cfg": foreign.Config(lr=0.1, steps=foreign.Items([8, 11])),
            "epoch": 12,
            "names": ["a", foreign.Plain(), "b"],
            "pair": (1, foreign.Plain(foreign.Plain())),
            "call": Call(foreign.run, "no"),
            "kept": {"nested": {"number": np.float64(0.5)}, "set": {1, 2}},
        },
    }
    path = write(content, tmp_path / "epoch_12.pth", kind, protocol)
    found, remarks = read_with_remarks(path)
    assert RAN == []
    np.testing.assert_array_equal(np.asarray(found["state_dict"]["weight"]), array)
    assert found["meta"] == {
        "epoch": 12,
        "names": ["a", None, "b"],
        "pair": (1, None),
        "kept": {"nested": {"number": 0.5}, "set": {1, 2}},
    }
    assert len(remarks) == 1
    assert remarks[0].startswith("objects of foreign.things.Config, foreign.things.Items, ")


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_pythons_own_library(kind: str, tmp_path: Path) -> None:
    content = {
        "model": {"weight": np.ones(3)},
        "args": argparse.Namespace(lr=0.1, path=pathlib.Path("x")),
        "when": datetime.datetime(2024, 1, 2),
        "counts": collections.Counter(a=1),
        "more": collections.defaultdict(list, a=[1]),
        "n": 7,
    }
    found, remarks = read_with_remarks(write(content, tmp_path / "x.pth", kind))
    assert set(found) - {"counts", "more"} == {"model", "n"}
    np.testing.assert_array_equal(found["model"]["weight"], np.ones(3))
    assert "argparse.Namespace" in remarks[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch it_ran",), f"{os.name}.system"),
        (eval, ("1 + 1",), "builtins.eval"),
        (getattr, (os, "system"), "builtins.getattr"),
        (os.remove, ("x",), f"{os.name}.remove"),
        (subprocess.list2cmdline, (["a"],), "list2cmdline"),  # of "commands" in Python 2
    ],
)
def test_what_python_itself_can_do_is_refused(
    kind: str, function: Any, arguments: Any, name: str, tmp_path: Path
) -> None:
    if function is getattr:
        arguments = ({}, "keys")
    content = {"model": {"weight": np.ones(3)}, "extra": [{"deep": Call(function, *arguments)}]}
    path = write(content, tmp_path / "evil.pth", kind)
    with pytest.raises(ValueError, match=r"evil.pth is refused because it can run code") as caught:
        read_file(path)
    assert name.replace("builtins", "__builtin__") in str(caught.value) or name in str(caught.value)
    assert not (tmp_path / "it_ran").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_code_behind_a_foreign_object_is_refused(
    foreign: ModuleType, kind: str, tmp_path: Path
) -> None:
    """The state of an object is looked at although nobody needs it."""
    marker = tmp_path / "it_ran"
    content = {"model": {"w": np.ones(3)}, "x": foreign.Plain(Call(os.mkdir, str(marker)))}
    path = write(content, tmp_path / "evil.pth", kind)
    with pytest.raises(ValueError, match="can run code"):
        read_file(path)
    assert not marker.exists()


def test_functions_of_installed_packages_are_not_called_either(tmp_path: Path) -> None:
    """Also where the package is there: names are never looked up."""
    content = {"model": {"weight": np.ones(3)}, "extra": Call(run_me, "evil")}
    path = write(content, tmp_path / "x.pth", "pickle")
    assert set(read_file(path)) == {"model"}
    assert RAN == []


@pytest.mark.parametrize("kind", ["archive", "old"])
def test_a_whole_model_is_no_weights_by_name(kind: str, tmp_path: Path) -> None:
    path = write(torch.nn.Linear(2, 2), tmp_path / "model.pth", kind)
    with pytest.raises(ValueError, match=r"holds a whole Linear and no weights by name: where"):
        read_file(path)


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning"
)
def test_a_torchscript_program(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), path)
    with pytest.raises(ValueError, match=r"is a TorchScript program: save the model's state_dict"):
        read_file(str(path))


def test_a_parameter_is_a_tensor(tmp_path: Path, foreign: ModuleType) -> None:
    content = {"w": torch.nn.Parameter(torch.ones(2)), "n": torch.ones(2, dtype=torch.int8).t()}
    path = write({**content, "x": foreign.Plain()}, tmp_path / "x.pth", "archive")
    found = read_file(path)
    assert torch.equal(found["w"], torch.ones(2))
    assert found["n"].dtype == torch.int8


def test_half_precision_and_shared_storage(tmp_path: Path, foreign: ModuleType) -> None:
    base = torch.arange(6.0)
    content = {"a": base[2:], "b": base.view(2, 3).t(), "h": base.bfloat16(), "x": foreign.Plain()}
    for kind in ("archive", "old"):
        sys.modules.update({"foreign": ModuleType("foreign"), "foreign.things": foreign})
        found = read_file(write(content, tmp_path / kind, kind))
        assert found["a"].tolist() == [2, 3, 4, 5]
        assert found["b"].tolist() == [[0, 3], [1, 4], [2, 5]]
        assert found["h"].dtype == torch.bfloat16


def test_the_report_says_what_was_left_out(
    source: Any, model: Any, foreign: ModuleType, tmp_path: Path
) -> None:
    content = {"meta": {"cfg": foreign.Config()}, "state_dict": openmmlab_weights(source)}
    path = saved(content, tmp_path / "epoch_1.pth")
    del sys.modules["foreign.things"]
    report = load_weights(model, path, strict=True)
    assert report.notes[0] == (
        "objects of foreign.things.Config in the file were left out: only tensors and plain values "
        "are read"
    )
    assert_has_weights(model, weights(source))
