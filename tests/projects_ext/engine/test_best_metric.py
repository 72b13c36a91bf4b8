"""A metric for the best checkpoint that no evaluation gives is found out at the first one."""

import logging
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from detectron2.evaluation import COCOEvaluator, DatasetEvaluator, DatasetEvaluators
from projects_ext.data import register_coco_format
from projects_ext.engine.best_metric import refuse_unknown_metric, require_best_metric
from projects_ext.engine.main import main
from projects_ext.errors import UserError
from tests.projects_ext.faults.runs import end_of, short_run

RESULTS = OrderedDict(bbox={"AP": 1.0, "AP50": 2.0}, segm={"AP": float("nan")})


class Saved(list):
    """Stands where a checkpointer is and remembers what it was asked to save."""

    def save(self, name: str, **kwargs: Any) -> None:
        self.append((name, kwargs))


def trainer(iteration: int) -> Any:
    return SimpleNamespace(iter=iteration, max_iter=10, checkpointer=Saved())


@pytest.mark.parametrize("name", ["", "bbox/AP", "segm/AP"])
def test_a_metric_that_is_there(name: str) -> None:
    run = trainer(4)
    require_best_metric(name, RESULTS, run)
    assert not run.checkpointer


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bbox/AP05", r"is bbox/AP05, but the evaluation gives bbox/AP, bbox/AP50, segm/AP: did "
         r"you mean bbox/AP50.*\? correct it and continue with --resume"),
        ("mIoU", r"is mIoU, but the evaluation gives bbox/AP, bbox/AP50, segm/AP: correct it"),
    ],
)  # fmt: skip
def test_one_that_is_not_ends_the_run_with_its_work_saved(name: str, sentence: str) -> None:
    run = trainer(4)
    with pytest.raises(UserError, match=sentence):
        require_best_metric(name, RESULTS, run)
    assert run.checkpointer == [("model_0000004", {"iteration": 4})]


def test_after_the_last_iteration_the_results_are_kept(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    run = trainer(9)
    with caplog.at_level(logging.WARNING, "detectron2.projects_ext"):
        require_best_metric("mIoU", {}, run)
    assert "is mIoU, but the evaluation gives no metrics; no best checkpoint" in caplog.text
    assert not run.checkpointer


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("segm/AP", ""),
        ("bbox/AP-disc", ""),
        ("", ""),
        ("segm/AP05", "did you mean .*segm/AP50"),
        ("AP", "the evaluation gives bbox/AP, bbox/AP50"),
        ("sem_seg/mIoU", "correct it, or set it to ''"),
        ("keypoints/AP", "correct it, or set it to ''"),
    ],
)
def test_a_name_that_coco_does_not_have_is_refused_before_training(
    name: str, refused: str, shapes: Path, tmp_path: Path
) -> None:
    file = shapes / "annotations" / "instances_val.json"
    data = register_coco_format(str(file), str(shapes / "val"))
    evaluators = [DatasetEvaluators([COCOEvaluator(data, output_dir=str(tmp_path))])]
    if refused:
        with pytest.raises(UserError, match=refused):
            refuse_unknown_metric(name, evaluators)
    else:
        refuse_unknown_metric(name, evaluators)
    refuse_unknown_metric(name, [*evaluators, DatasetEvaluator()])  # which may give anything


def test_the_program_says_it_before_the_first_iteration(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "train.best_checkpointer.val_metric=segm/AP05"
    code, stderr = end_of(short_run(shapes_overrides, tmp_path, wrong), monkeypatch)
    assert code == 1
    assert "val_metric (YAML: TEST.BEST_METRIC) is segm/AP05, but the evaluation" in stderr
    assert not list(tmp_path.glob("*.pth"))


def test_after_the_last_evaluation_it_is_said_once(
    shapes_overrides: list[str], tmp_path: Path, project_log: pytest.LogCaptureFixture
) -> None:
    wrong = "train.best_checkpointer.val_metric=bbox/AP-nothing"
    main(short_run(shapes_overrides, tmp_path, "train.max_iter=1", "train.eval_period=1", wrong))
    said = [x.getMessage() for x in project_log.records if x.levelno == logging.WARNING]
    said = [text for text in said if "AP-nothing" in text]
    assert len(said) == 1, said
    assert "is bbox/AP-nothing, but the evaluation gives bbox/AP" in said[0]
    # Where Detectron2's own hook writes.
    log = (tmp_path / "log.txt").read_text().splitlines()
    assert not [line for line in log if "WARNING" in line and "AP-nothing" in line]
    assert not (tmp_path / "model_best.pth").exists()
