"""When training ends early, and what counts after a resume."""

import json
from pathlib import Path

import pytest

from detectron2.utils.events import EventStorage
from projects_ext.engine.options import EarlyStopping, EndedEarly
from projects_ext.engine.options.early_stopping import recorded_values


class Trainer:
    """As much of a trainer as the hook reads."""

    def __init__(self, start: int = 0, max_iter: int = 100) -> None:
        self.start_iter, self.max_iter, self.iter = start, max_iter, start - 1
        self.storage = EventStorage(start)
        self.saved: list[str] = []
        self.checkpointer = self

    def save(self, name: str, iteration: int) -> None:
        self.saved.append(f"{name} {iteration}")


def evaluations(hook: EarlyStopping, trainer: Trainer, values: list[float]) -> int:
    """How many evaluations there are before the hook ends the training."""
    hook.trainer = trainer  # type: ignore[assignment]
    hook.before_train()
    for number, value in enumerate(values, start=1):
        trainer.iter = trainer.storage.iter = trainer.start_iter + 10 * number - 1
        trainer.storage.put_scalar("bbox/AP", value)
        try:
            hook.after_step()
        except EndedEarly:
            return number
    return len(values) + 1


def make(record: Path, mode: str = "max", patience: int = 2, delta: float = 0.0) -> EarlyStopping:
    return EarlyStopping(10, "bbox/AP", mode, patience, delta, record)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "delta", "values", "ends_at"),
    [
        ("max", 0.0, [1, 2, 2, 1.5, 3], 4),
        ("max", 0.0, [1, 0.5, 2, 1, 3], 6),
        ("min", 0.0, [3, 2, 2.5, 2.5, 1], 4),
        ("max", 1.0, [1, 1.5, 2.0, 9], 3),
        ("max", 0.0, [float("nan"), float("nan"), 1], 2),
    ],
)
def test_patience(
    tmp_path: Path, mode: str, delta: float, values: list[float], ends_at: int
) -> None:
    trainer = Trainer()
    assert evaluations(make(tmp_path / "none", mode, 2, delta), trainer, values) == ends_at
    ended = ends_at <= len(values)
    assert trainer.saved == ([f"model_final {10 * ends_at - 1}"] if ended else [])


def test_evaluations_before_a_resume_count(tmp_path: Path) -> None:
    record = tmp_path / "metrics.json"
    entries = [{"iteration": 9, "bbox/AP": 5.0}, {"iteration": 19, "bbox/AP": 4.0}]
    record.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert evaluations(make(record), Trainer(start=20), [4.5, 6.0]) == 1
    assert evaluations(make(record), Trainer(start=20), [6.0, 5.0]) == 3
    with pytest.raises(EndedEarly):
        evaluations(make(record, patience=1), Trainer(start=20), [6.0])


def test_only_the_last_attempt_at_an_iteration_counts(tmp_path: Path) -> None:
    record = tmp_path / "metrics.json"
    lines = [
        '{"iteration": 9, "bbox/AP": 5.0}',
        '{"iteration": 19, "bbox/AP": 4.0}',
        '{"iteration": 19, "total_',  # a kill
        '{"iteration": 9, "bbox/AP": 1.0}',  # begun anew
        '{"iteration": 15, "total_loss": 1.0}',
    ]
    record.write_text("\n".join(lines))
    assert recorded_values(record, "bbox/AP", 20) == [1.0]
    assert recorded_values(record, "bbox/AP", 0) == []
    assert recorded_values(tmp_path / "none", "bbox/AP", 20) == []
