"""``--eval-only`` evaluates what the file holds, in the data set's order of classes, or nothing."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from projects_ext.engine import load_config
from projects_ext.engine.checkpointing import AtomicCheckpointer
from projects_ext.engine.ema import averaged_copy
from projects_ext.engine.main import load_for_evaluation, main, trainer_for
from projects_ext.engine.settings import Settings
from projects_ext.errors import UserError
from tests.projects_ext.checkpoint.small_models import part, saved, small_mask_rcnn, weights
from tests.projects_ext.faults.runs import CONFIG, ROOT, end_of, short_run

YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")
CLASSES = ["circle", "square", "triangle"]
CLASSIFIER = "roi_heads.box_predictor.cls_score.bias"


def evaluated(file: str, classes: list[str] | None = None, model: Any = None, **keys: Any) -> Any:
    """A model after ``--eval-only`` has loaded its weights."""
    cfg = load_config(CONFIG, ["train.device=cpu"])
    model = small_mask_rcnn(seed=5) if model is None else model
    load_for_evaluation(trainer_for(cfg), model, file, replace(Settings.of(cfg), **keys), classes)
    return model


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run with averaged weights; tests only read it."""
    folder = tmp_path_factory.mktemp("run")
    model = small_mask_rcnn(seed=1)
    nn.init.normal_(model.get_parameter(CLASSIFIER))
    average = averaged_copy(small_mask_rcnn(seed=2), 0.5)
    nn.init.normal_(average.module.get_parameter(CLASSIFIER))
    AtomicCheckpointer(model, str(folder), classes=CLASSES, ema=average).save("model")
    return folder


@pytest.mark.parametrize("averaged", [False, True])
def test_classes_are_matched_by_name(run_folder: Path, averaged: bool) -> None:
    """The average as the weights themselves."""
    file = str(run_folder / "model.pth")
    content = torch.load(file, weights_only=True)
    theirs = content["ema"]["module." + CLASSIFIER] if averaged else content["model"][CLASSIFIER]
    decay = 0.5 if averaged else 0.0
    same = evaluated(file, CLASSES, ema_decay=decay)
    assert torch.equal(same.get_parameter(CLASSIFIER), theirs)
    other = evaluated(file, ["triangle", "circle", "square"], ema_decay=decay)
    assert torch.equal(other.get_parameter(CLASSIFIER), theirs[[2, 0, 1, 3]])


@pytest.mark.parametrize("averaged", [False, True])
def test_classes_that_contradict_are_refused(run_folder: Path, averaged: bool) -> None:
    with pytest.raises(
        UserError, match=r"class 0 is 'square' in the model's data set and 'circle'"
    ):
        evaluated(
            str(run_folder / "model.pth"),
            ["square", "disc", "triangle"],
            ema_decay=0.5 if averaged else 0.0,
        )


def test_classes_of_other_names_are_warned_of(
    run_folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    evaluated(str(run_folder / "model.pth"), ["disc", "square", "wedge"])
    warned = list({r.getMessage() for r in caplog.records if r.levelno == logging.WARNING})
    assert len(warned) == 1
    assert (
        "2 of 3 classes have other names in the file, such as class 0, 'circle' there" in warned[0]
    )


def test_a_file_without_class_names_is_warned_of(
    run_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    plain = tmp_path / "plain.pth"
    torch.save(torch.load(run_folder / "model.pth", weights_only=False)["model"], plain)
    evaluated(str(plain), ["triangle", "square", "disc"])
    warned = {r.getMessage() for r in caplog.records if r.levelno == logging.WARNING}
    assert any(
        "does not name its classes: they are taken to be those of the data set in its order (0 "
        "triangle, 1 square, 2 disc)" in text
        for text in warned
    )


@pytest.mark.parametrize("averaged", [False, True])
def test_classes_without_a_name_in_common_are_refused_unless_allowed(
    run_folder: Path, averaged: bool
) -> None:
    file, decay = str(run_folder / "model.pth"), 0.5 if averaged else 0.0
    with pytest.raises(UserError) as caught:
        evaluated(file, ["cat", "dog", "bird"], ema_decay=decay)
    said = caught.value.sentence
    assert said.startswith(f"--eval-only: {file} ")
    assert (
        "was trained on other classes: 3 of 3 classes have other names in the file, such as class "
        "0, 'circle' there and 'cat' in the data set; give other weights" in said
    )
    assert "train.allow_other_classes=True (YAML: MODEL.ALLOW_OTHER_CLASSES True)" in said
    evaluated(file, ["cat", "dog", "bird"], ema_decay=decay, allow_other_classes=True)
    evaluated(file, ["disc", "square", "wedge"], ema_decay=decay)


def test_parts_without_weights_are_refused_unless_allowed(tmp_path: Path) -> None:
    state = weights(small_mask_rcnn(seed=1))
    own = len(state)
    backbone = {"backbone." + name: x for name, x in part(state, "backbone.").items()}
    file = saved({"model": backbone}, tmp_path / "backbone.pth")
    with pytest.raises(UserError) as caught:
        evaluated(file)
    said = str(caught.value)
    assert said.startswith(
        f"--eval-only: {own - len(backbone)} of the model's {own} entries get no value from {file},"
        " such as proposal_generator.rpn_head."
    )
    assert "add train.allow_missing_weights=True (YAML: MODEL.ALLOW_MISSING_WEIGHTS True)" in said
    model = evaluated(file, allow_missing_weights=True)
    stem = "backbone.bottom_up.stem.conv1.weight"
    assert torch.equal(model.state_dict()[stem], backbone[stem])


def test_heads_of_another_class_count_are_refused(run_folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"random \(.*the file has 3 classes, the model 2: .* fresh"
    ):
        evaluated(str(run_folder / "model.pth"), model=small_mask_rcnn(classes=2))


@pytest.mark.parametrize("yaml", [False, True])
def test_the_program_refuses_and_names_the_key(
    yaml: bool, shapes_overrides: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """By the key of the kind of config in use."""
    state = {"proposal_generator.rpn_head.anchor_deltas.bias": torch.zeros(12)}
    file = saved({"model": state}, tmp_path / "x.pth")
    key = "train.allow_missing_weights=True"
    command = short_run(shapes_overrides, tmp_path, f"train.init_checkpoint={file}")
    if yaml:
        key = "MODEL.ALLOW_MISSING_WEIGHTS True"
        command = ["--config-file", YAML, "OUTPUT_DIR", str(tmp_path)]
        command += ["MODEL.WEIGHTS", file]
        for given in shapes_overrides:  # data.train_json=…
            name, _, path = given.removeprefix("data.").partition("=")
            command += [f"DATASETS.COCO_FORMAT.{name.upper()}", path]
        cfg = load_config(YAML, [*command[2:], *key.split()])
        assert Settings.of(cfg).allow_missing_weights
    code, stderr = end_of(["--eval-only", *command], monkeypatch)
    assert code == 1
    said = stderr.strip().splitlines()[-1]
    assert said.startswith("error: --eval-only: ")
    assert key in said
    assert not (tmp_path / "evaluation.json").exists()


def test_the_written_results_say_which_weights_were_missing(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    name = "proposal_generator.rpn_head.anchor_deltas.bias"
    file = saved({"model": {name: torch.zeros(12)}}, tmp_path / "x.pth")
    more = [f"train.init_checkpoint={file}", "train.allow_missing_weights=True"]
    main(["--eval-only", *short_run(shapes_overrides, tmp_path, *more)])
    missing = json.loads((tmp_path / "evaluation.json").read_text())["missing_weights"]
    assert missing["count"] == len(missing["entries"]) > 90
    assert name not in missing["entries"]
    assert "proposal_generator.rpn_head.anchor_deltas.weight" in missing["entries"]
