"""A run that was interrupted and resumed is the uninterrupted run, to the bit."""

import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from detectron2.data import MetadataCatalog
from detectron2.engine import HookBase
from detectron2.utils import comm
from projects_ext.engine.continuity import Continuity, get_random_states, set_random_states
from projects_ext.engine.faults import StoppedError
from tests.projects_ext.faults.runs import (
    ROOT,
    end_of,
    same_bits,
    short_run,
    trainer_with_losses,
    weights_in,
)


class SignalAfter(HookBase):
    """Sends this process a signal at the end of an iteration, as if from outside."""

    def __init__(self, iteration: int, number: int) -> None:
        self.iteration, self.number = iteration, number

    def before_step(self) -> None:
        if self.trainer.iter == self.iteration:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_has_the_same_losses_and_weights(
    workers: int, shapes_overrides: list[str], tmp_path: Path
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    loading = f"dataloader.train.num_workers={workers}"
    # An evaluation in between draws random numbers, too; the other run does without.
    command = short_run(shapes_overrides, whole, loading, "train.eval_period=2")
    trainer, expected = trainer_with_losses(command)
    trainer.train()

    command = short_run(shapes_overrides, halves, loading)
    trainer, first = trainer_with_losses(command, SignalAfter(1, signal.SIGTERM))
    with pytest.raises(StoppedError, match="after iteration 2 of 4"):
        trainer.train()
    # Another process with another seed: everything comes from the checkpoint.
    trainer, second = trainer_with_losses([*command, "train.seed=77"])
    trainer.resume_or_load(resume=True)
    trainer.train()

    assert list(first.of) == [0, 1]
    assert list(second.of) == [2, 3]
    assert expected.of == {**first.of, **second.of}
    assert len(set(map(str, expected.of.values()))) == 4
    assert same_bits(weights_in(whole / "model_final.pth"), weights_in(halves / "model_final.pth"))


def test_yaml_run_resumes_to_the_same_weights(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = "DATASETS.COCO_FORMAT."
    keys = {
        f"{data}TRAIN_JSON": shapes / "annotations" / "instances_train.json",
        f"{data}TRAIN_IMAGES": shapes / "train",
        f"{data}VAL_JSON": shapes / "annotations" / "instances_val.json",
        f"{data}VAL_IMAGES": shapes / "val",
        "SOLVER.IMS_PER_BATCH": 2,
        "DATALOADER.NUM_WORKERS": 0,
        "INPUT.MIN_SIZE_TRAIN": "(64,96)",
        "INPUT.MIN_SIZE_TEST": 64,
        "TEST.EVAL_PERIOD": 0,
        "SEED": 5,
        "SOLVER.MAX_ITER": 3,
    }
    yaml = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")
    command = ["--config-file", yaml, *(f"{key}={value}" for key, value in keys.items())]
    whole, halves = (f"OUTPUT_DIR={tmp_path / run}" for run in ("whole", "halves"))
    assert end_of([*command, whole], monkeypatch)[0] == 0
    trainer, _ = trainer_with_losses([*command, halves], SignalAfter(0, signal.SIGINT))
    with pytest.raises(StoppedError, match="after iteration 1 of 3"):
        trainer.train()
    assert end_of([*command, halves, "SEED=6", "--resume"], monkeypatch)[0] == 0
    final = "model_final.pth"
    assert same_bits(
        weights_in(tmp_path / "whole" / final), weights_in(tmp_path / "halves" / final)
    )


def test_checkpoint_holds_random_states_and_place(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    trainer, _ = trainer_with_losses(short_run(shapes_overrides, tmp_path, "train.max_iter=2"))
    trainer.train()
    checkpoint = torch.load(tmp_path / "model_final.pth", weights_only=True)
    (name,) = trainer.test_sets(trainer.cfg)
    assert checkpoint["classes"] == list(MetadataCatalog.get(name).thing_classes) != []
    state = checkpoint["trainer"]["hooks"]["Continuity"]
    assert set(state["random"]) >= {"python", "numpy", "torch"}
    assert state["loader"]["served"] == 2
    assert state["loader"]["order"]["number of images"] == 10


def test_random_states_go_there_and_back() -> None:
    random.seed(1)
    np.random.seed(2)
    np.random.normal()  # leaves half a pair behind
    torch.manual_seed(3)
    states = get_random_states()

    def draw() -> list[float]:
        return [random.gauss(0, 1), np.random.normal(), np.random.rand(), float(torch.randn(()))]

    drawn = draw()
    assert draw() != drawn
    set_random_states(states)
    assert draw() == drawn


def test_other_processes_get_states_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = Continuity(loader=None).state_dict()
    drawn = []
    for rank in (0, 1, 2, 1):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        hook = Continuity(loader=None)
        hook.load_state_dict(saved)
        torch.manual_seed(9)
        hook.before_step()
        drawn.append(float(torch.rand(())))
    assert len(set(drawn[:3])) == 3
    assert drawn[1] == drawn[3]
