import collections
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from detectron2.utils.analysis import FlopCountAnalysis, parameter_count_table
from detectron2.utils.collect_env import collect_env_info
from detectron2.utils.env import TORCH_VERSION, seed_all_rng
from detectron2.utils.file_io import PathManager
from detectron2.utils.memory import retry_if_cuda_oom
from detectron2.utils.registry import Registry, _convert_target_to_string, locate
from detectron2.utils.serialize import PicklableWrapper


def test_registry():
    registry = Registry("THINGS")

    @registry.register()
    class Thing:
        pass

    assert registry.get("Thing") is Thing
    assert "Thing" in registry
    assert dict(registry) == {"Thing": Thing}
    with pytest.raises(KeyError, match="Nothing"):
        registry.get("Nothing")
    with pytest.raises(AssertionError, match="Thing"):
        registry.register(Thing)


@pytest.mark.parametrize(
    ("name", "found"),
    [("torch.nn.Conv2d", nn.Conv2d), ("len", len), ("torch.nn.Conv2d.forward", nn.Conv2d.forward)],
)
def test_locate(name, found):
    assert locate(name) is found


@pytest.mark.parametrize("name", ["nope.X", "torch.nope", "torch.nn.Conv2d.nope"])
def test_locate_refuses(name):
    with pytest.raises(ImportError, match="nope"):
        locate(name)


@pytest.mark.core_only(reason="upstream says only that a module is missing")
def test_locate_tells_why_a_module_fails(tmp_path, monkeypatch):
    (tmp_path / "broken_for_test.py").write_text("import json\nraise OSError('no disk')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="no disk"):
        locate("broken_for_test.Thing")
    with pytest.raises(ImportError, match="no attribute or submodule 'nope'"):
        locate("torch.nn.nope.deeper")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (nn.Conv2d, "torch.nn.Conv2d"),
        (torch.optim.SGD, "torch.optim.SGD"),
        (collections.OrderedDict, "collections.OrderedDict"),
        (nn.functional.relu, "torch.nn.functional.relu"),
        (len, "builtins.len"),
        (nn.Linear.forward, "torch.nn.Linear.forward"),
    ],
)
def test_shortest_name_of_a_target(target, name):
    assert _convert_target_to_string(target) == name


def test_seed_all_rng(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    seed_all_rng(5)
    first = draw()
    seed_all_rng(5)
    assert draw() == first
    seed_all_rng(6)
    assert all(a != b for a, b in zip(draw(), first, strict=True))
    seed_all_rng()
    assert all(a != b for a, b in zip(draw(), first, strict=True))
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])


def test_torch_version():
    assert torch.__version__.startswith(".".join(map(str, TORCH_VERSION)))


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_retry_if_out_of_memory(failures):
    calls = []

    @retry_if_cuda_oom
    def work(value, *, factor):
        """Docs."""
        calls.append(value)
        if len(calls) <= failures:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1 GiB")
        return value * factor

    assert work(torch.tensor(3), factor=2) == 6
    assert len(calls) == failures + 1
    assert work.__name__ == "work"


def test_other_errors_are_not_retried():
    calls = []

    @retry_if_cuda_oom
    def work():
        calls.append(1)
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        work()
    assert len(calls) == 1


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, batch):
        return [{"out": self.norm(self.conv(item["image"])).relu() + 1} for item in batch]


@pytest.mark.parametrize("as_tuple", [False, True])
def test_flop_count_of_nested_inputs(as_tuple):
    batch = [{"image": torch.rand(1, 3, 8, 8), "height": 3}]
    counts = FlopCountAnalysis(Detector().eval(), (batch,) if as_tuple else batch)
    counts.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    assert counts.by_module()["model.conv"] == 4 * 36 * 27
    assert counts.total() == 4 * 36 * 27 + counts.by_module()["model.norm"]


def test_parameter_count_table():
    table = parameter_count_table(Detector(), max_depth=2)
    assert "conv.weight" in table
    assert "(4, 3, 3, 3)" in table
    assert "conv.weight" not in parameter_count_table(Detector(), max_depth=1)


def test_paths_of_the_model_zoo_are_addresses(monkeypatch):
    (handler,) = (
        h for h in PathManager._path_handlers.values() if "Detectron2" in type(h).__name__
    )
    seen = []
    monkeypatch.setattr(
        PathManager, "get_local_path", lambda path, **kwargs: seen.append(path) or "/local"
    )
    assert handler._get_local_path("detectron2://a/b.pkl") == "/local"
    assert seen == ["https://dl.fbaipublicfiles.com/detectron2/a/b.pkl"]


def test_local_files(tmp_path):
    with PathManager.open(str(tmp_path / "x"), "w") as file:
        file.write("words")
    assert PathManager.isfile(str(tmp_path / "x"))


def test_picklable_wrapper():
    offset = 3
    wrapped = pickle.loads(pickle.dumps(PicklableWrapper(lambda value: value + offset)))
    assert wrapped(4) == 7
    assert PicklableWrapper(Detector()).conv.out_channels == 4


@pytest.mark.core_only(reason="about core")
def test_collect_env_names_the_implementation():
    text = collect_env_info()
    assert "detectron2-core" in text
    for word in ("torch ", "torchvision", "CUDA", "pycocotools", "Pillow", "Missing"):
        assert word in text


@pytest.mark.core_only(reason="upstream imports pkg_resources, which warns")
def test_imports_warn_about_nothing():
    modules = "config, checkpoint, model_zoo, utils.analysis, utils.collect_env, utils.events"
    code = "".join(f"import detectron2.{name}\n" for name in modules.split(", "))
    code += "import sys\nassert 'pkg_resources' not in sys.modules\n"
    code += "assert 'tensorboard' not in sys.modules\n"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
