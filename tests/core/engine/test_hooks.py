"""The hooks, in trainers of a toy model."""

import json

import pytest
import torch
from fvcore.common.checkpoint import Checkpointer
from fvcore.common.param_scheduler import CosineParamScheduler
from torch import nn

from detectron2.engine import SimpleTrainer, hooks
from detectron2.solver import LRMultiplier
from detectron2.utils.events import EventWriter, JSONWriter, get_event_storage

from .toy import Batches, TwoLosses, make_trainer


def run(trainer, *trainer_hooks, start=0, end=6):
    trainer.register_hooks(trainer_hooks)
    trainer.train(start, end)
    return trainer


def checkpointer_of(trainer, folder):
    return Checkpointer(trainer.model, str(folder), trainer=trainer)


def load(path):
    return torch.load(path, weights_only=True)


def test_callbacks_get_the_trainer():
    calls = []
    stages = ("before_train", "before_step", "after_step", "after_train")
    hook = hooks.CallbackHook(
        **{
            stage: lambda trainer, stage=stage: calls.append((stage, trainer.iter))
            for stage in stages
        }
    )
    run(make_trainer(), hook, hooks.CallbackHook(), end=1)
    assert calls == [("before_train", 0), ("before_step", 0), ("after_step", 0), ("after_train", 1)]


def test_timer_records_steps_after_the_warmup_and_logs_the_speed(caplog):
    with caplog.at_level("INFO", logger="detectron2.engine.hooks"):
        trainer = run(make_trainer(), hooks.IterationTimer(warmup_iter=3), end=8)
    times = trainer.storage.history("time").values()
    assert [iteration for _, iteration in times] == [2, 3, 4, 5, 6, 7]
    assert all(seconds > 0 for seconds, _ in times)
    assert "Overall training speed: 6 iterations in 0:00:00" in caplog.text
    assert "Total training time: 0:00:00" in caplog.text


class Recorder(EventWriter):
    def __init__(self):
        self.written, self.closed = [], 0

    def write(self):
        self.written.append(get_event_storage().iter)

    def close(self):
        self.closed += 1


def test_writers_write_periodically_at_the_last_iteration_and_at_the_end():
    recorder = Recorder()
    run(make_trainer(), hooks.PeriodicWriter([recorder], period=3), end=8)
    assert recorder.written == [2, 5, 7, 8]
    assert recorder.closed == 1


def test_writers_write_what_is_there_when_training_fails():
    recorder = Recorder()
    fail = hooks.CallbackHook(before_step=lambda trainer: 1 // (2 - trainer.iter))
    with pytest.raises(ZeroDivisionError):
        run(make_trainer(), hooks.PeriodicWriter([recorder], period=9), fail)
    assert recorder.written == [2]
    assert recorder.closed == 1


def test_metrics_json_has_one_line_a_period(tmp_path):
    path = str(tmp_path / "metrics.json")
    trainer = make_trainer()
    run(
        trainer,
        hooks.IterationTimer(),
        hooks.LRScheduler(scheduler=CosineParamScheduler(1.0, 0.0)),
        hooks.EvalHook(4, lambda: {"bbox": {"AP": 0.5}}),
        hooks.PeriodicWriter([JSONWriter(path)], period=3),
    )
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    losses = {
        "iteration",
        "loss_square",
        "loss_absolute",
        "total_loss",
        "data_time",
        "rank_data_time",
        "time",
        "lr",
    }
    by_iteration = {line["iteration"]: line for line in lines}
    assert set(by_iteration) == {2, 3, 5, 6}
    assert set(by_iteration[2]) == set(by_iteration[5]) == losses
    assert by_iteration[3] == {"iteration": 3, "bbox/AP": 0.5}
    assert by_iteration[6] == {"iteration": 6, "bbox/AP": 0.5}


def test_checkpoints_periodic_and_final(tmp_path):
    trainer = make_trainer()
    run(trainer, hooks.PeriodicCheckpointer(checkpointer_of(trainer, tmp_path), 4))
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == [
        "model_0000003.pth",
        "model_final.pth",
    ]
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    saved = load(tmp_path / "model_final.pth")
    assert set(saved) == {"model", "trainer", "iteration"}
    assert saved["iteration"] == saved["trainer"]["iteration"] == 5


def test_old_checkpoints_go_once_the_new_one_is_there(tmp_path):
    trainer = make_trainer()
    checkpointer = checkpointer_of(trainer, tmp_path)
    on_disk = []
    save = checkpointer.save

    def watched_save(name, **kwargs):
        save(name, **kwargs)
        on_disk.append(sorted(path.name for path in tmp_path.glob("model_0*.pth")))

    checkpointer.save = watched_save
    run(trainer, hooks.PeriodicCheckpointer(checkpointer, 2, max_to_keep=1))
    assert on_disk == [
        ["model_0000001.pth"],
        ["model_0000001.pth", "model_0000003.pth"],
        ["model_0000003.pth", "model_0000005.pth"],
        ["model_0000005.pth"],
    ]


def test_a_save_that_fails_deletes_nothing(tmp_path):
    trainer = make_trainer()
    checkpointer = checkpointer_of(trainer, tmp_path)
    save = checkpointer.save

    def full_disk(name, **kwargs):
        if name == "model_0000003":
            raise OSError("No space left on device")
        save(name, **kwargs)

    checkpointer.save = full_disk
    with pytest.raises(OSError, match="No space"):
        run(trainer, hooks.PeriodicCheckpointer(checkpointer, 2, max_to_keep=1))
    assert set(load(tmp_path / "model_0000001.pth")) == {"model", "trainer", "iteration"}


@pytest.mark.core_only(reason="upstream forgets the files of the run that it resumes")
def test_max_to_keep_holds_over_a_resume(tmp_path):
    for start, end in ((0, 6), (6, 10)):
        trainer = make_trainer()
        checkpointer = checkpointer_of(trainer, tmp_path)
        run(
            trainer,
            hooks.PeriodicCheckpointer(checkpointer, 2, max_to_keep=2),
            start=start,
            end=end,
        )
    assert sorted(path.name for path in tmp_path.glob("model_0*.pth")) == [
        "model_0000007.pth",
        "model_0000009.pth",
    ]


def best_run(folder, values, start=0, mode="max", start_hooks=()):
    """Train as many iterations as there are values; the metric has these values, one each."""
    trainer = make_trainer()
    checkpointer = checkpointer_of(trainer, folder)
    evaluate = lambda: {"bbox": {"AP": values[trainer.iter - start]}}  # noqa: E731
    end = start + len(values) - 1  # the last value is that of after_train
    return run(
        trainer,
        *start_hooks,
        hooks.EvalHook(1, evaluate),
        hooks.BestCheckpointer(1, checkpointer, "bbox/AP", mode),
        start=start,
        end=end,
    )


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        ("max", [1.0, 3.0, 2.0, 9.0, 2.5], 1),
        ("min", [1.0, 3.0, 0.5, 9.0, 2.5], 2),
        ("max", [float("nan"), 3.0, float("nan"), 9.0, float("nan")], 1),
        ("max", [1.0, 2.0, 3.0, 9.0, 4.0], 4),
    ],
)
def test_the_best_checkpoint_is_kept(tmp_path, mode, values, best):
    # The fourth value is never asked for: after the last iteration comes after_train.
    best_run(tmp_path, values, mode=mode)
    assert load(tmp_path / "model_best.pth")["iteration"] == best


def test_a_metric_that_is_not_there_is_a_warning(tmp_path, caplog):
    trainer = make_trainer()
    best = hooks.BestCheckpointer(1, checkpointer_of(trainer, tmp_path), "bbox/Ap")
    with caplog.at_level("WARNING", logger="detectron2.engine.hooks"):
        run(trainer, best, end=2)
    assert "bbox/Ap" in caplog.text
    assert not list(tmp_path.iterdir())


def test_an_unknown_mode_is_refused(tmp_path):
    checkpointer = checkpointer_of(make_trainer(), tmp_path)
    with pytest.raises((AssertionError, ValueError), match="avg"):
        hooks.BestCheckpointer(1, checkpointer, "bbox/AP", mode="avg")


@pytest.mark.core_only(reason="upstream resumes from the best checkpoint, back in time")
def test_the_best_checkpoint_does_not_become_the_last_one(tmp_path):
    trainer = make_trainer()
    checkpointer = checkpointer_of(trainer, tmp_path)
    run(
        trainer,
        hooks.PeriodicCheckpointer(checkpointer, 2),
        hooks.EvalHook(1, lambda: {"AP": float(trainer.iter)}),
        hooks.BestCheckpointer(1, checkpointer, "AP"),
        end=4,
    )
    assert load(tmp_path / "model_best.pth")["iteration"] == 4
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"


@pytest.mark.core_only(reason="upstream forgets the best value when it resumes")
def test_a_resumed_run_replaces_the_best_checkpoint_only_by_a_better_one(tmp_path):
    best_run(tmp_path, [1.0, 5.0, 2.0, 0.0, 2.0])
    best_run(tmp_path, [3.0, 4.0, 0.0, 3.0], start=4)
    assert load(tmp_path / "model_best.pth")["iteration"] == 1
    best_run(tmp_path, [3.0, 6.0, 0.0, 3.0], start=4)
    assert load(tmp_path / "model_best.pth")["iteration"] == 5
    best_run(tmp_path, [0.1, 0.2, 0.0, 0.0])  # a new run: not compared with the old one
    assert load(tmp_path / "model_best.pth")["iteration"] == 1


def test_learning_rates_are_recorded_and_stepped():
    trainer = make_trainer(lr=0.5)
    scheduler = LRMultiplier(trainer.optimizer, CosineParamScheduler(1.0, 0.0), 4)
    run(trainer, hooks.LRScheduler(trainer.optimizer, scheduler), end=4)
    rates = [rate for rate, _ in trainer.storage.history("lr").values()]
    assert rates[0] == 0.5
    assert rates[2] == pytest.approx(0.25)
    assert scheduler.last_epoch == 4


def test_the_schedule_goes_on_after_a_resume(tmp_path):
    def make():
        trainer = make_trainer()
        scheduler = LRMultiplier(trainer.optimizer, CosineParamScheduler(1.0, 0.0), 8)
        trainer.register_hooks([hooks.LRScheduler(scheduler=scheduler)])
        return trainer, checkpointer_of(trainer, tmp_path)

    whole, _ = make()
    run(whole, end=8)
    first, checkpointer = make()
    run(first, hooks.PeriodicCheckpointer(checkpointer, 5), end=5)
    second, checkpointer = make()
    checkpointer.resume_or_load("", resume=True)
    assert second.iter == 4
    run(second, start=5, end=8)
    expected = [rate for rate, _ in whole.storage.history("lr").values()]
    assert [rate for rate, _ in second.storage.history("lr").values()] == expected[5:]


def test_a_param_scheduler_is_made_a_multiplier_of_the_trainers_optimizer():
    trainer = run(
        make_trainer(), hooks.LRScheduler(scheduler=CosineParamScheduler(1.0, 0.0)), end=4
    )
    rates = [rate for rate, _ in trainer.storage.history("lr").values()]
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], abs=1e-6)


@pytest.mark.parametrize(
    ("groups", "representative"),
    [
        ([(1, 0.1), (1, 0.2), (1, 0.2)], 1),
        ([(1, 0.1), (1, 0.2)], 0),
        ([(2, 0.1), (3, 0.2), (3, 0.1)], 1),
        ([(1, 0.1), (2, 0.2), (1, 0.1)], 1),
    ],
)
def test_which_group_stands_for_all(groups, representative):
    def parameters(count):
        return [nn.Parameter(torch.zeros(1)) for _ in range(count)]

    optimizer = torch.optim.SGD(
        [{"params": parameters(count), "lr": lr} for count, lr in groups], lr=1.0
    )
    assert hooks.LRScheduler.get_best_param_group_id(optimizer) == representative


def test_evaluation_runs_periodically_and_once_at_the_end():
    when = []
    trainer = make_trainer()
    run(trainer, hooks.EvalHook(2, lambda: when.append(trainer.iter)), end=4)
    assert when == [1, 4]
    when.clear()
    trainer = make_trainer()
    run(trainer, hooks.EvalHook(0, lambda: when.append(trainer.iter)), end=4)
    assert when == [4]
    when.clear()
    trainer = make_trainer()
    run(trainer, hooks.EvalHook(3, lambda: when.append(trainer.iter), False), end=4)
    assert when == [2]


def test_no_evaluation_of_a_model_whose_training_failed():
    when = []
    fail = hooks.CallbackHook(before_step=lambda trainer: 1 // (2 - trainer.iter))
    with pytest.raises(ZeroDivisionError):
        run(make_trainer(), hooks.EvalHook(0, lambda: when.append(1)), fail)
    assert when == []


def test_evaluation_results_are_recorded_flat():
    results = {"bbox": {"AP": 1, "per class": {"cat": torch.tensor(2.5)}}, "count": 3}
    trainer = run(make_trainer(), hooks.EvalHook(0, lambda: results), end=2)
    latest = trainer.storage.latest()
    assert latest["bbox/AP"] == (1.0, 2)
    assert latest["bbox/per class/cat"] == (2.5, 2)
    assert latest["count"] == (3.0, 2)
    assert trainer.storage.smoothing_hints()["bbox/AP"] is False


@pytest.mark.parametrize("results", ["good", {"bbox": "good"}, {"bbox": {"AP": None}}])
def test_evaluation_results_that_are_no_numbers_are_refused(results):
    with pytest.raises((AssertionError, TypeError, ValueError), match="must return|should return"):
        run(make_trainer(), hooks.EvalHook(0, lambda: results), end=1)


class Normalized(TwoLosses):
    """With a BatchNorm layer in front."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, momentum=0.01)

    def forward(self, batch):
        get_event_storage().put_scalar("seen", 1.0)
        return super().forward(self.norm(batch))


def test_precise_batch_norm_has_the_statistics_of_many_batches():
    model = Normalized()
    trainer = SimpleTrainer(model, Batches(), torch.optim.SGD(model.parameters(), 0.01))
    run(trainer, hooks.PreciseBN(0, model, Batches(), num_iter=50), end=2)
    batches = torch.cat([batch for _, batch in zip(range(50), Batches(), strict=False)])
    torch.testing.assert_close(model.norm.running_mean, batches.mean(0))
    assert model.norm.momentum == 0.01
    # What the model recorded meanwhile is not part of the training.
    assert len(trainer.storage.history("seen").values()) == 2


def test_precise_batch_norm_leaves_frozen_layers_alone():
    model = Normalized()
    model.norm.eval()
    before = model.norm.running_mean.clone()
    hook = hooks.PreciseBN(1, model, Batches(), num_iter=5)
    hook.update_stats()
    assert torch.equal(model.norm.running_mean, before)


@pytest.mark.parametrize("save_tensorboard", [True, False])
def test_profiles_of_chosen_iterations(tmp_path, save_tensorboard):
    hook = hooks.TorchProfiler(
        lambda trainer: trainer.iter in (1, 3), str(tmp_path), save_tensorboard=save_tensorboard
    )
    run(make_trainer(), hook, end=5)
    files = sorted(x for x in tmp_path.rglob("*") if x.is_file())
    assert len(files) == 2
    if save_tensorboard:
        folders = [x.parent.relative_to(tmp_path).as_posix() for x in files]
        assert folders == [f"log/profiler-tensorboard-iter{i}" for i in (1, 3)]
    else:
        assert [x.name for x in files] == [f"profiler-trace-iter{i}.json" for i in (1, 3)]
        assert "aten::" in files[0].read_text()


@pytest.mark.core_only(reason="upstream uses an argument that torch has dropped")
def test_the_older_profiler(tmp_path):
    with pytest.warns(UserWarning, match="TorchProfiler"):
        hook = hooks.AutogradProfiler(
            lambda trainer: trainer.iter == 1, str(tmp_path), use_cuda=False
        )
    run(make_trainer(), hook, end=3)
    assert [x.name for x in tmp_path.iterdir()] == ["profiler-trace-iter1.json"]
