"""``train_net.py`` on configs that cannot be: one sentence, exit code 1, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from projects_ext.engine.config_errors import unknown_key
from projects_ext.errors import UserError
from tests.projects_ext.faults.runs import CONFIG, ROOT, end_of

YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")


def sentence_for(command: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    code, stderr = end_of(command, monkeypatch)
    lines = stderr.strip().splitlines()
    assert code == 1, stderr
    assert "Traceback" not in stderr
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:], stderr
    return lines[-1].removeprefix("error: ")


def test_missing_config(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = sentence_for(["--config-file", "configs/nothing.py"], monkeypatch)
    assert sentence == "no config file at configs/nothing.py: correct --config-file"


def test_the_program_itself_says_it_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "train_net.py", "--config-file", "configs/nothing.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr == "error: no config file at configs/nothing.py: correct --config-file\n"
    assert done.stdout == ""


def test_debugging_brings_the_traceback_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECTS_EXT_DEBUG", "1")
    with pytest.raises(UserError, match="no config file"):
        end_of(["--config-file", "configs/nothing.py"], monkeypatch)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("train = dict()\nmodel = = 3\n", "CONFIG:2", "invalid syntax"),
        ("train = dict()\n\nmodel = nothing\n", "CONFIG:3", "name 'nothing' is not defined"),
        ("import nowhere_at_all\n", "CONFIG:1", "No module named 'nowhere_at_all'"),
        ("from .nowhere import model\n", "CONFIG:1", "does not exist"),
        ("\nfrom .other import model\n", "other.py:1", "'(' was never closed"),
    ],
)
def test_broken_config_is_named_with_its_line(
    text: str, place: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.py"
    config.write_text(text)
    (tmp_path / "other.py").write_text("model = dict(\n")
    sentence = sentence_for(["--config-file", str(config)], monkeypatch)
    assert f"{place.replace('CONFIG', str(config))}: " in sentence
    assert reason in sentence
    assert sentence.endswith("correct the config file there")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL:\n  WEIGHTS: [a\nSOLVER: b\n", "no valid YAML"),
        ("SOLVER: {MAX_ITERS: 9}\n", "has no key SOLVER.MAX_ITERS: did you mean SOLVER.MAX_ITER"),
        ("SOLVER: {MAX_ITER: many}\n", "SOLVER.MAX_ITER"),
    ],
)
def test_broken_yaml_is_named(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    sentence = sentence_for(["--config-file", str(config)], monkeypatch)
    assert str(config) in sentence
    assert message in sentence


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr=0.1", "no key lr: did you mean optimizer.lr"),
        ("train.max_iters=9", "did you mean train.max_iter?"),
        ("train.amp={enable: true}", "no key train.amp.enable: did you mean train.amp.enabled"),
        ("model.roi_heads.nclasses=3", "did you mean model.roi_heads.num_classes"),
        ("model.backbone.bottom_up.stages.9.norm=GN", "stages.0.norm"),
        ("train.seed.first=1", "did you mean train.seed?"),
        ("zzzz=1", "no key zzzz, and none like it: add it with +zzzz=…"),
        ("train.max_iter", "write key=value"),
        ("data.train_json=a,b", "gives several values"),
        ("~train.seed", "cannot be deleted"),
    ],
)
def test_unknown_key_comes_with_the_nearest_known_ones(
    override: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert message in sentence_for(["--config-file", CONFIG, override], monkeypatch)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (["SOLVER.LR", "0.1"], "no key SOLVER.LR: did you mean SOLVER.BASE_LR"),
        (["solver.max_iter", "9"], "did you mean SOLVER.MAX_ITER"),
        (["SOLVER.MAX_ITER", "many"], "SOLVER.MAX_ITER cannot be many"),
        (["MODEL.ROI_HEADS", "5"], "a section with keys of its own"),
        (["SOLVER.MAX_ITER"], "SOLVER.MAX_ITER has no value"),
    ],
)
def test_unknown_yaml_key_or_value(
    pair: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert message in sentence_for(["--config-file", YAML, *pair], monkeypatch)


def test_a_key_can_be_added_on_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    # The new key is accepted; the run ends for want of data.
    sentence = sentence_for(["--config-file", CONFIG, "+optimizer.foreach=True"], monkeypatch)
    assert "data.train_json" in sentence


def test_nearest_keys_are_ordered_by_likeness() -> None:
    known = ["train.log_period", "train.eval_period", "other.period", "train"]
    assert "train.log_period or" in unknown_key("train.logperiod", known, "")
