"""A metric for the best checkpoint that no evaluation gives is found out at the first one."""

import logging
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest

from projects_ext.engine.best_metric import require_best_metric
from projects_ext.errors import UserError

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
