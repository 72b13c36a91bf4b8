"""The loop, its hooks, and the plain and the mixed-precision trainer."""

import sys

import pytest
import torch
from torch import nn

from detectron2.engine import AMPTrainer, HookBase, SimpleTrainer, TrainerBase
from detectron2.engine.hooks import CallbackHook
from detectron2.utils.events import EventStorage

from .toy import Batches, Notes, TwoLosses, make_trainer


def test_hooks_run_in_order_at_every_point():
    calls = []
    trainer = make_trainer()
    trainer.register_hooks([Notes(calls, "first"), None, Notes(calls, "second")])
    trainer.train(3, 5)
    stages = [("before_train", 3)]
    for iteration in (3, 4):
        for stage in ("before_step", "after_backward", "after_step"):
            stages.append((stage, iteration))
    stages.append(("after_train", 5))
    assert calls == [
        (name, stage, iteration) for stage, iteration in stages for name in ("first", "second")
    ]
    assert (trainer.start_iter, trainer.iter, trainer.max_iter) == (3, 5, 5)


def test_only_hooks_can_be_registered():
    with pytest.raises((AssertionError, TypeError)):
        make_trainer().register_hooks([print])


def test_an_exception_is_raised_and_logged_and_after_train_still_runs(caplog):
    calls = []

    def fail(trainer):
        if trainer.iter == 2:
            raise RuntimeError("the disk is on fire")

    trainer = make_trainer()
    trainer.register_hooks([Notes(calls), CallbackHook(before_step=fail)])
    with (
        caplog.at_level("ERROR", logger="detectron2.engine.train_loop"),
        pytest.raises(RuntimeError, match="on fire"),
    ):
        trainer.train(0, 4)
    assert calls[-2:] == [("notes", "before_step", 2), ("notes", "after_train", 2)]
    assert "Exception during training" in caplog.text
    assert trainer.iter == 2


def test_the_base_has_no_step_of_its_own():
    with pytest.raises(NotImplementedError):
        TrainerBase().run_step()


def test_each_step_is_one_update_on_the_next_batch():
    trainer = make_trainer(lr=0.05)
    trainer.train(0, 3)
    model = TwoLosses()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for _, batch in zip(range(3), Batches(), strict=False):
        optimizer.zero_grad()
        sum(model(batch).values()).backward()
        optimizer.step()
    for mine, theirs in zip(trainer.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("early", [False, True])
def test_gradients_do_not_accumulate(early):
    gradients = []

    class Gradients(HookBase):
        def after_backward(self):
            gradients.append(self.trainer.model.layer.weight.grad.clone())

    trainer = make_trainer(lr=0.0, zero_grad_before_forward=early)
    trainer.register_hooks([Gradients()])
    trainer.train(0, 2)
    model = TwoLosses()
    for gradient, batch in zip(gradients, Batches(), strict=False):
        model.zero_grad()
        sum(model(batch).values()).backward()
        assert torch.equal(gradient, model.layer.weight.grad)


def test_metrics_are_the_losses_their_sum_and_the_data_time():
    recorded = []
    trainer = make_trainer()
    trainer.register_hooks(
        [CallbackHook(after_step=lambda trainer: recorded.append(dict(trainer.storage.latest())))]
    )
    trainer.train(0, 2)
    with torch.no_grad():
        expected = {name: loss.item() for name, loss in TwoLosses()(next(iter(Batches()))).items()}
    first = {name: value for name, (value, _) in recorded[0].items()}
    assert set(first) == {*expected, "total_loss", "data_time", "rank_data_time"}
    assert first["loss_square"] == pytest.approx(expected["loss_square"])
    assert first["total_loss"] == pytest.approx(sum(expected.values()))
    assert {iteration for _, iteration in recorded[1].values()} == {1}


def test_metrics_can_be_gathered_less_often():
    recorded = []
    trainer = make_trainer(gather_metric_period=2)
    trainer.register_hooks(
        [CallbackHook(after_step=lambda trainer: recorded.append(dict(trainer.storage.latest())))]
    )
    trainer.train(0, 3)
    assert recorded[0] == {}
    assert recorded[1]["total_loss"][1] == recorded[2]["total_loss"][1] == 1


def test_a_model_may_return_one_scalar():
    class OneLoss(TwoLosses):
        def forward(self, batch):
            return super().forward(batch)["loss_square"]

    trainer = make_trainer(model=OneLoss())
    trainer.train(0, 1)
    assert set(trainer.storage.latest()) == {"total_loss", "data_time", "rank_data_time"}


def test_metrics_of_a_prefix():
    with EventStorage(0) as storage:
        SimpleTrainer.write_metrics({"loss_a": torch.tensor(2.0)}, 0.5, 7, prefix="second_")
    assert storage.latest()["second_total_loss"] == (2.0, 7)
    assert storage.latest()["data_time"] == (0.5, 7)


class BrokenLater(TwoLosses):
    """Its absolute loss is NaN from the third batch on."""

    count = 0

    def forward(self, batch):
        losses = super().forward(batch)
        self.count += 1
        if self.count >= 3:
            losses["loss_absolute"] = losses["loss_absolute"] * float("nan")
        return losses


def test_a_loss_that_is_not_finite_ends_training_and_is_named():
    trainer = make_trainer(model=BrokenLater())
    with pytest.raises(FloatingPointError, match="iteration=2") as caught:
        trainer.train(0, 5)
    assert "loss_absolute" in str(caught.value)
    assert trainer.model.layer.weight.isfinite().all()  # it was noticed before the update


@pytest.mark.core_only(reason="upstream prints all losses alike")
def test_only_the_broken_loss_is_called_not_finite():
    with pytest.raises(FloatingPointError, match="Not finite: loss_absolute"):
        make_trainer(model=BrokenLater()).train(0, 5)


def test_metrics_written_in_a_thread_are_all_there_at_the_end():
    trainer = make_trainer(async_write_metrics=True)
    trainer.train(0, 4)
    history = trainer.storage.history("total_loss").values()
    assert [iteration for _, iteration in history] == [0, 1, 2, 3]


class NewLosses(TwoLosses):
    """A loss of another name in every iteration."""

    calls = 0

    def forward(self, batch):
        self.calls += 1
        return {**super().forward(batch), f"loss_{self.calls}": torch.tensor(float(self.calls))}


@pytest.mark.core_only(reason="upstream's storage may grow while it is read")
def test_writers_read_what_the_thread_writes_meanwhile():
    trainer = make_trainer(model=NewLosses(), async_write_metrics=True)
    read = []

    def write(trainer):
        for _ in range(4):
            read.append(dict(trainer.storage.latest_with_smoothing_hint(20)))
            for name in trainer.storage.histories():
                trainer.storage.history(name).latest()

    trainer.register_hooks([CallbackHook(after_step=write)])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # the threads take turns as often as they can
    try:
        trainer.train(0, 100)
    finally:
        sys.setswitchinterval(interval)
    assert len(read) == 400
    latest = trainer.storage.latest()
    assert all(latest[f"loss_{i + 1}"] == (i + 1, i) for i in range(100))


@pytest.mark.core_only(reason="upstream only logs what the thread raises, and trains on")
def test_a_broken_loss_noticed_in_the_thread_ends_training_too():
    with pytest.raises(FloatingPointError, match="iteration=2"):
        make_trainer(model=BrokenLater(), async_write_metrics=True).train(0, 50)


def test_a_model_in_evaluation_mode_is_not_trained():
    trainer = make_trainer()
    trainer.register_hooks([CallbackHook(after_step=lambda trainer: trainer.model.eval() and None)])
    with pytest.raises((AssertionError, RuntimeError), match="eval"):
        trainer.train(0, 2)


def test_the_data_loader_can_be_replaced():
    trainer = make_trainer()
    trainer.train(0, 1)
    assert next(trainer._data_loader_iter) is not None
    trainer.reset_data_loader(lambda: [torch.zeros(1, 3)])
    assert torch.equal(next(trainer._data_loader_iter), torch.zeros(1, 3))


class Counter(HookBase):
    """A hook with a state."""

    def __init__(self):
        self.count = 0

    def after_step(self):
        self.count += 1

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state_dict):
        self.count = state_dict["count"]


def test_state_has_iteration_optimizer_and_hooks():
    trainer, counter = make_trainer(), Counter()
    trainer.register_hooks([counter, Notes([])])
    trainer.train(0, 3)
    state = trainer.state_dict()
    assert set(state) == {"iteration", "hooks", "optimizer"}
    assert state["hooks"] == {"Counter": {"count": 3}}

    resumed, counter = make_trainer(), Counter()
    resumed.register_hooks([counter])
    resumed.load_state_dict(state)
    assert counter.count == resumed.iter == 3
    momentum = [entry["momentum_buffer"] for entry in state["optimizer"]["state"].values()]
    loaded = [entry["momentum_buffer"] for entry in resumed.optimizer.state.values()]
    assert all(torch.equal(a, b) for a, b in zip(momentum, loaded, strict=True))


def test_the_state_of_an_unknown_hook_is_ignored_with_a_warning(caplog):
    trainer = make_trainer()
    state = {**trainer.state_dict(), "hooks": {"Gone": {"x": 1}}}
    with caplog.at_level("WARNING", logger="detectron2.engine.train_loop"):
        trainer.load_state_dict(state)
    assert "Gone" in caplog.text


@pytest.mark.core_only(reason="upstream keeps the first of them only")
def test_two_hooks_of_one_class_keep_their_states_apart():
    trainer, counters = make_trainer(), [Counter(), Counter()]
    trainer.register_hooks(counters)
    counters[0].count, counters[1].count = 4, 9
    state = trainer.state_dict()
    counters[0].count = counters[1].count = 0
    trainer.load_state_dict(state)
    assert [counter.count for counter in counters] == [4, 9]


class Precision(TwoLosses):
    """Notes the type in which its layer computes."""

    def forward(self, batch):
        self.computed_in = self.layer(batch).dtype
        return super().forward(batch)


@pytest.mark.core_only(reason="upstream's needs a GPU")
def test_bfloat16_on_the_cpu_learns_like_float32():
    exact = make_trainer(lr=0.01)
    mixed = make_trainer(AMPTrainer, Precision(), lr=0.01, precision=torch.bfloat16)
    exact.train(0, 5)
    mixed.train(0, 5)
    assert mixed.model.computed_in == torch.bfloat16
    assert mixed.model.layer.weight.dtype == torch.float32
    assert not mixed.grad_scaler.is_enabled()
    expected = exact.storage.history("total_loss").latest()
    assert mixed.storage.history("total_loss").latest() == pytest.approx(expected, abs=0.02)
    assert not torch.equal(exact.model.layer.weight, mixed.model.layer.weight)


@pytest.mark.core_only(reason="upstream's needs a GPU")
def test_float16_on_the_cpu_scales_and_keeps_the_scale():
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    trainer = make_trainer(
        AMPTrainer, Precision(), lr=0.01, grad_scaler=scaler, log_grad_scaler=True
    )
    trainer.train(0, 3)
    assert trainer.model.computed_in == torch.float16
    assert trainer.storage.latest()["[metric]grad_scaler"][0] == 256.0
    state = trainer.state_dict()
    assert set(state) == {"iteration", "optimizer", "grad_scaler"}
    state["grad_scaler"]["scale"] = 8.0
    resumed = make_trainer(AMPTrainer)
    resumed.load_state_dict(state)
    assert resumed.grad_scaler.get_scale() == 8.0
    # A run in bfloat16 goes on from it, and the other way round.
    other = make_trainer(AMPTrainer, precision=torch.bfloat16)
    other.load_state_dict(state)
    resumed.load_state_dict(other.state_dict())
    assert resumed.grad_scaler.get_scale() == 8.0


@pytest.mark.core_only(reason="upstream's needs a GPU")
def test_a_step_with_infinite_gradients_is_left_out_and_halves_the_scale():
    class Overflow(TwoLosses):
        def forward(self, batch):
            return {"loss": self.layer(batch).float().mean() * 1e38}

    trainer = make_trainer(AMPTrainer, model=Overflow())
    trainer.train(0, 1)
    assert torch.equal(trainer.model.layer.weight, TwoLosses().layer.weight)
    assert trainer.grad_scaler.get_scale() == 32768.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_mixed_precision_on_the_gpu(precision):
    model = Precision().cuda()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    batches = (batch.cuda() for batch in Batches())
    trainer = AMPTrainer(model, batches, optimizer, precision=precision)
    trainer.train(0, 3)
    assert model.computed_in == precision
    assert (
        trainer.storage.latest()["total_loss"][0]
        < trainer.storage.history("total_loss").values()[0][0]
    )


def test_data_parallel_is_refused():
    with pytest.raises((AssertionError, ValueError)):
        make_trainer(AMPTrainer, model=nn.DataParallel(TwoLosses()))
