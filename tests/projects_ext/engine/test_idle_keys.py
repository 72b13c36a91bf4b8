"""Keys of the command line that this kind of run does not read are refused or named in one line."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from projects_ext.engine import load_config
from projects_ext.engine.idle_keys import (
    given_keys,
    idle_lazy_keys,
    refuse_idle,
    say_idle_in_evaluation,
    say_idle_in_training,
)
from projects_ext.engine.main import main
from projects_ext.engine.settings import Settings
from projects_ext.errors import UserError
from tests.projects_ext.faults.runs import end_of, short_run

ROOT = Path(__file__).parents[3]
YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")
LAZY = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.py")


def loaded(file: str, *keys: str, resume: bool = False) -> tuple[Any, Namespace]:
    return load_config(file, keys), Namespace(opts=list(keys), resume=resume)


def said(project_log: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in dict.fromkeys(project_log.messages) if "no effect" in text]


def test_sections_are_given_with_their_keys() -> None:
    cfg, arguments = loaded(LAZY, "train.ddp={find_unused_parameters: true}", "optimizer.lr=0.1")
    assert given_keys(cfg, arguments) == [
        *("train.ddp.broadcast_buffers", "train.ddp.find_unused_parameters"),
        *("train.ddp.fp16_compression", "optimizer.lr"),
    ]


@pytest.mark.parametrize(
    ("file", "keys", "sentence"),
    [
        (LAZY, ["train.trust_checkpoint=True"], "train.trust_checkpoint has no effect without "
         "weights to load: add train.init_checkpoint=FILE, or leave train.trust_checkpoint out"),
        (YAML, ["MODEL.TRUST_WEIGHTS=True"], "MODEL.TRUST_WEIGHTS has no effect without weights to "
         "load: add MODEL.WEIGHTS FILE"),
    ],
)  # fmt: skip
def test_trust_in_no_weights_is_refused(
    file: str, keys: list[str], sentence: str, data: list[str]
) -> None:
    keys = [*keys, *(data if file == YAML else [])]
    cfg, arguments = loaded(file, *keys)
    with pytest.raises(UserError, match=sentence):
        refuse_idle(cfg, arguments, Settings.of(cfg))
    weights = "MODEL.WEIGHTS=x.pth" if file == YAML else "train.init_checkpoint=x.pth"
    cfg, arguments = loaded(file, *keys, weights)
    refuse_idle(cfg, arguments, Settings.of(cfg))


@pytest.mark.parametrize(
    ("file", "keys", "resumed", "lines"),
    [
        (LAZY, ["train.ddp.broadcast_buffers=True", "train.allow_other_classes=True"], False,
         ["train.allow_other_classes has no effect while training",
          "train.ddp.broadcast_buffers has no effect with one process"]),
        (LAZY, ["train.seed=3", "train.max_iter=9"], True,
         ["train.seed has no effect with --resume, because the checkpoint decides"]),
        (LAZY, ["train.seed=3"], False, []),
        (YAML, ["SEED=3", "MODEL.ALLOW_MISSING_WEIGHTS=True"], True,
         ["MODEL.ALLOW_MISSING_WEIGHTS has no effect while training",
          "SEED has no effect with --resume, because the checkpoint decides"]),
    ],
)  # fmt: skip
def test_what_training_does_not_read(
    file: str,
    keys: list[str],
    resumed: bool,
    lines: list[str],
    data: list[str],
    project_log: pytest.LogCaptureFixture,
) -> None:
    keys = [*keys, *(data if file == YAML else [])]
    say_idle_in_training(*loaded(file, *keys), resumed=resumed)
    assert said(project_log) == lines


def test_what_an_evaluation_does_not_read() -> None:
    idle = ["optimizer.lr=0.1", "train.max_iter=7", "dataloader.train.num_workers=0"]
    idle += ["train.amp.enabled=True", "train.eval_period=3", "train.checkpointer.period=3"]
    idle += ["train.ema.decay=0.5"]
    read = ["model.roi_heads.batch_size_per_image=8", "dataloader.test.num_workers=0"]
    read += ["train.output_dir=x", "train.device=cpu", "train.ema.enabled=True", "+a.b=1"]
    read += ["data.val_json=x.json"]
    cfg, arguments = loaded(LAZY, *idle, *read)
    cfg.dataloader.test.more = "${a}"
    keys = [text.partition("=")[0] for text in idle]
    assert idle_lazy_keys(cfg, given_keys(cfg, arguments)) == keys


def test_references_of_what_is_read_are_read() -> None:
    cfg = OmegaConf.create(
        {
            "model": {"size": "${sizes.first}", "inner": {"width": "${..width}"}, "width": 4},
            "sizes": {"first": "${train.max_iter}", "second": 3},
            "train": {"max_iter": 5, "log_period": 5},
        }
    )
    given = ["sizes.first", "sizes.second", "train.max_iter", "train.log_period", "model.width"]
    assert idle_lazy_keys(cfg, given) == ["sizes.second", "train.log_period"]


def test_config_files_are_for_both(project_log: pytest.LogCaptureFixture) -> None:
    cfg, arguments = loaded(LAZY)
    cfg.train.seed, cfg.train.allow_other_classes = 3, True
    say_idle_in_training(cfg, arguments, resumed=True)
    say_idle_in_evaluation(cfg, arguments, Settings.of(cfg), "x.pth")
    assert said(project_log) == []


def test_the_program_names_them_once(
    shapes_overrides: list[str],
    tmp_path: Path,
    project_log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ddp = "train.ddp.broadcast_buffers=True"
    main(short_run(shapes_overrides, tmp_path, "train.max_iter=1", ddp))
    (line,) = said(project_log)
    assert line == "train.ddp.broadcast_buffers has no effect with one process"
    project_log.clear()
    more = ["train.max_iter=1", "train.init_checkpoint=x", "optimizer.lr=0.1"]
    main(["--eval-only", "--resume", *short_run(shapes_overrides, tmp_path, *more)])
    (line,) = said(project_log)
    assert "optimizer.lr" in line
    assert "train.init_checkpoint (" in line
    assert line.endswith("no effect under --eval-only")
    assert "model." not in line
    assert "dataloader.test" not in line
    code, stderr = end_of(
        short_run(shapes_overrides, tmp_path / "new", "train.trust_checkpoint=True"), monkeypatch
    )
    assert code == 1
    assert "error: train.trust_checkpoint has no effect without weights" in stderr


def test_the_program_names_those_of_a_yaml_config(
    data: list[str], tmp_path: Path, project_log: pytest.LogCaptureFixture
) -> None:
    keys = [*data, f"OUTPUT_DIR={tmp_path}", "SEED=3"]
    main(["--config-file", YAML, *keys, "SOLVER.MAX_ITER=1", "SOLVER.IMS_PER_BATCH=1"])
    assert said(project_log) == []
    project_log.clear()
    keys += ["SOLVER.BASE_LR=0.1", "INPUT.MIN_SIZE_TRAIN=(64,)", "INPUT.MIN_SIZE_TEST=64"]
    keys += ["TEST.EVAL_PERIOD=3", "SOLVER.EMA.ENABLED=False"]
    main(["--eval-only", "--resume", "--config-file", YAML, *keys])
    assert said(project_log) == [
        "INPUT.MIN_SIZE_TRAIN, SOLVER.BASE_LR, TEST.EVAL_PERIOD have no effect under --eval-only"
    ]
