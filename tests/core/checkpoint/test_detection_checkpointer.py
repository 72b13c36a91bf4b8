import collections
import os
import pickle
import resource
import signal

import numpy as np
import pytest
import torch
from torch import nn

from detectron2.checkpoint import DetectionCheckpointer, PeriodicCheckpointer


class Detector(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        layers = collections.OrderedDict(stem=nn.Linear(2, 3), res2=nn.Linear(3, 3))
        self.backbone = nn.ModuleDict({"bottom_up": nn.Sequential(layers)})
        self.head = nn.Linear(3, 1)
        self.register_buffer("pixel_mean", torch.zeros(3))
        self.register_buffer("pixel_std", torch.ones(3))


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Counted:
    """Something with a state, such as a hook."""

    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


BACKBONE = {
    "stem.weight": np.full((3, 2), 0.5, np.float32),
    "stem.bias": np.arange(3, dtype=np.float32),
    "res2.weight": np.ones((4, 3), np.float32),
    "fc.weight": np.ones(3, np.float32),
}


@pytest.fixture
def pickled(tmp_path):
    def write(content, name="x.pkl", protocol=None):
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol))
        return str(tmp_path / name)

    return write


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_training_state_round_trip(tmp_path):
    def training(seed):
        model = Detector(seed)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3])
        return model, optimizer, scheduler

    model, optimizer, scheduler = training(1)
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    scheduler.step()
    state = Counted({"best": 3.5, "steps": (1, 2), "seen": collections.Counter("aab")})
    saver = DetectionCheckpointer(
        model, str(tmp_path), optimizer=optimizer, scheduler=scheduler, hook=state
    )
    saver.save("model_0000005", iteration=5)
    assert saver.get_checkpoint_file() == str(tmp_path / "model_0000005.pth")
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0000005.pth"]

    model2, optimizer2, scheduler2 = training(2)
    hook = Counted({})
    loader = DetectionCheckpointer(
        model2, str(tmp_path), optimizer=optimizer2, scheduler=scheduler2, hook=hook
    )
    assert loader.resume_or_load("", resume=True) == {"iteration": 5}
    assert same(model, model2)
    assert optimizer2.param_groups[0]["lr"] == pytest.approx(0.01)
    assert scheduler2.last_epoch == 1
    assert hook.state == state.state
    momentum = [state["momentum_buffer"] for state in optimizer2.state.values()]
    assert len(momentum) == 6
    assert torch.equal(momentum[0], torch.ones(3, 2))


def test_resume_or_load_without_resume_loads_the_model_alone(tmp_path):
    model, hook = Detector(1), Counted({"a": 1})
    DetectionCheckpointer(model, str(tmp_path), hook=hook).save("first")
    again, fresh = Detector(2), Counted({"a": 2})
    loader = DetectionCheckpointer(again, str(tmp_path / "elsewhere"), hook=fresh)
    loader.resume_or_load(str(tmp_path / "first.pth"), resume=True)
    assert same(model, again)
    assert fresh.state == {"a": 2}


def test_empty_path_loads_nothing():
    assert DetectionCheckpointer(Detector()).load("") == {}


def test_bare_state_dicts_and_wrapped_names(tmp_path):
    source = Detector(1)
    for prefix in ("", "module."):
        path = str(tmp_path / "weights.pth")
        torch.save({prefix + name: value for name, value in source.state_dict().items()}, path)
        target = Detector(2)
        DetectionCheckpointer(target).load(path)
        assert same(source, target)


def test_wrapped_models_are_saved_without_the_wrapper(tmp_path):
    model = nn.DataParallel(Detector(1))
    DetectionCheckpointer(model, str(tmp_path)).save("x")
    names = torch.load(tmp_path / "x.pth")["model"]
    assert "head.weight" in names


def test_pickle_with_full_names(pickled):
    source = Detector(1)
    weights = {name: value.numpy() for name, value in source.state_dict().items()}
    target = Detector(2)
    DetectionCheckpointer(target).load(pickled({"model": weights, "__author__": "somebody"}))
    assert same(source, target)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_backbone_weights_match_by_their_endings(pickled, protocol, caplog):
    model, untouched = Detector(1), Detector(1)
    path = pickled(
        {"model": BACKBONE, "__author__": "x", "matching_heuristics": True}, protocol=protocol
    )
    DetectionCheckpointer(model).load(path)
    stem = model.backbone.bottom_up.stem
    assert torch.equal(stem.weight, torch.full((3, 2), 0.5))
    assert torch.equal(stem.bias, torch.arange(3.0))
    assert same(model.head, untouched.head)
    # Its shape differs: kept as it was, with a warning.
    assert same(model.backbone.bottom_up.res2, untouched.backbone.bottom_up.res2)
    assert "res2.weight" in caplog.text
    assert "fc.weight" in caplog.text
    assert "pixel_mean" not in caplog.text


def test_matching_can_be_asked_for_in_the_path(tmp_path):
    path = str(tmp_path / "b.pth")
    torch.save({"stem.bias": torch.arange(3.0)}, path)
    model = Detector()
    DetectionCheckpointer(model).load(path + "?matching_heuristics=True")
    assert torch.equal(model.backbone.bottom_up.stem.bias, torch.arange(3.0))
    model = Detector()
    DetectionCheckpointer(model).load(path)
    assert not torch.equal(model.backbone.bottom_up.stem.bias, torch.arange(3.0))
    with pytest.raises(ValueError, match="foo"):
        DetectionCheckpointer(model).load(path + "?foo=True")


def test_longest_ending_counts(pickled):
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.ModuleDict({"a": nn.Linear(2, 2)})})
    weights = {"b.a.bias": np.ones(2, np.float32), "a.bias": np.zeros(2, np.float32)}
    path = pickled({"model": weights, "__author__": "x", "matching_heuristics": True})
    DetectionCheckpointer(model).load(path)
    assert model["b"]["a"].bias.tolist() == [1, 1]
    assert model["a"].bias.tolist() == [0, 0]


def test_ambiguous_names_are_refused(pickled):
    model = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 3)})
    weights = {"weight": np.ones((3, 2), np.float32)}
    path = pickled({"model": weights, "__author__": "x", "matching_heuristics": True})
    with pytest.raises(ValueError, match=r"match"):
        DetectionCheckpointer(model).load(path)


def test_old_files_with_anchors_and_without_normalisation(tmp_path, caplog):
    state = Detector(1).state_dict()
    del state["pixel_mean"], state["pixel_std"]
    state["proposal_generator.anchor_generator.cell_anchors.0"] = torch.zeros(3, 4)
    torch.save({"model": state}, tmp_path / "x.pth")
    DetectionCheckpointer(Detector()).load(str(tmp_path / "x.pth"))
    assert "pixel_mean" not in caplog.text
    assert "cell_anchors" not in caplog.text


def test_periodic_checkpointer_keeps_the_newest(tmp_path):
    periodic = PeriodicCheckpointer(
        DetectionCheckpointer(Detector(), str(tmp_path)), 2, max_iter=7, max_to_keep=2
    )
    for iteration in range(7):
        periodic.step(iteration)
    assert sorted(os.listdir(tmp_path)) == [
        "last_checkpoint",
        "model_0000003.pth",
        "model_0000005.pth",
        "model_final.pth",
    ]
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"


def test_processes_that_do_not_write(tmp_path):
    DetectionCheckpointer(Detector(), str(tmp_path), save_to_disk=False).save("x")
    assert not os.listdir(tmp_path)


core_only = pytest.mark.core_only(reason="upstream runs the code in pickles, and writes in place")


@core_only
@pytest.mark.parametrize("name", ["evil.pkl", "evil.pth"])
def test_code_in_files_is_refused_and_not_run(tmp_path, name):
    target = str(tmp_path / "made by the file")
    content = {"model": BACKBONE, "__author__": "x", "extra": Evil(target)}
    if name.endswith("pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}.*mkdir"):
        DetectionCheckpointer(Detector()).load(str(tmp_path / name))
    assert not os.path.exists(target)


@core_only
@pytest.mark.parametrize("name", ["x.pkl", "x.pth"])
def test_damaged_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"abc")
    with pytest.raises(ValueError, match=name):
        DetectionCheckpointer(Detector()).load(str(tmp_path / name))


@core_only
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_checkpoint_is_named(tmp_path, share):
    # Large enough for the archive's reader to look for its directory where there is none.
    saver = DetectionCheckpointer(Detector(), str(tmp_path), other=nn.Linear(500, 500))
    saver.save("x")
    whole = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"x\.pth"):
        DetectionCheckpointer(Detector()).load(str(tmp_path / "x.pth"))


@core_only
def test_numpy_values_in_a_state(tmp_path):
    values = {"best": np.float64(3.5), "step": np.int64(2), "pair": (np.float32(1), [np.bool_(1)])}
    saver = DetectionCheckpointer(Detector(), str(tmp_path), hook=Counted(values))
    saver.save("x", iteration=np.int64(4))
    content = torch.load(tmp_path / "x.pth", weights_only=True)
    assert content["hook"] == {"best": 3.5, "step": 2, "pair": (1.0, [True])}
    assert type(content["iteration"]) is int
    # Written by somebody else:
    torch.save({"model": {}, "best": np.float64(1), "rows": np.arange(3)}, tmp_path / "y.pth")
    rest = DetectionCheckpointer(nn.Identity()).load(str(tmp_path / "y.pth"))
    assert rest["best"] == 1
    assert rest["rows"].tolist() == [0, 1, 2]


@core_only
@pytest.mark.parametrize(
    "content", [{"conv1_w": np.ones(3), "conv1_b": np.ones(3)}, {"blobs": {"conv1_w": np.ones(3)}}]
)
def test_caffe2_names_are_refused(pickled, content):
    with pytest.raises(ValueError, match=r"x\.pkl has Caffe2's weight names"):
        DetectionCheckpointer(Detector()).load(pickled(content))


@core_only
def test_other_refusals(tmp_path):
    torch.save([1], tmp_path / "x.pth")
    with pytest.raises(ValueError, match="list"):
        DetectionCheckpointer(Detector()).load(str(tmp_path / "x.pth"))
    with pytest.raises(FileNotFoundError, match=r"nope\.pth"):
        DetectionCheckpointer(Detector()).load(str(tmp_path / "nope.pth"))


@core_only
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    model = Detector(1)
    saver = DetectionCheckpointer(model, str(tmp_path))
    saver.save("x")
    before = (tmp_path / "x.pth").read_bytes()
    model.add_module("large", nn.Linear(300, 300))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        for name in ("x", "y"):
            with pytest.raises(OSError, match=rf"{name}\.pth could not be written"):
                saver.save(name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "x.pth").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "x.pth"]
    assert saver.get_checkpoint_file() == str(tmp_path / "x.pth")
