import logging
import weakref

import pytest
import torch
from torch import nn

from detectron2.evaluation import (
    DatasetEvaluator,
    DatasetEvaluators,
    inference_context,
    inference_on_dataset,
)


class Recorder(DatasetEvaluator):
    def __init__(self, answer):
        self.answer = answer
        self.seen = ["not reset"]

    def reset(self):
        self.seen = []

    def process(self, inputs, outputs):
        self.seen.append((inputs, outputs))

    def evaluate(self):
        return self.answer


class Double(nn.Module):
    def forward(self, x):
        assert not self.training
        assert not torch.is_grad_enabled()
        return 2 * x


def test_loop_resets_feeds_and_evaluates():
    recorder = Recorder({"bbox": {"AP": 1.0}})
    model = Double().train()
    assert inference_on_dataset(model, [1, 2, 3], recorder) == {"bbox": {"AP": 1.0}}
    assert recorder.seen == [(1, 2), (2, 4), (3, 6)]
    assert model.training
    assert torch.is_grad_enabled()


def test_list_of_evaluators_is_merged():
    parts = [Recorder({"a": 1}), Recorder(None), Recorder({"b": 2})]
    assert dict(inference_on_dataset(Double(), [5], parts)) == {"a": 1, "b": 2}
    assert [part.seen for part in parts] == [[(5, 10)]] * 3


@pytest.mark.parametrize("evaluator", [None, [], Recorder(None)])
def test_no_result_is_an_empty_dict(evaluator):
    result = inference_on_dataset(lambda x: x, [1], evaluator)
    assert result is not None
    assert len(result) == 0


def test_same_key_twice_is_refused():
    evaluators = DatasetEvaluators([Recorder({"bbox": 1}), Recorder({"bbox": 2})])
    with pytest.raises(AssertionError, match="same key bbox"):
        evaluators.evaluate()


def test_base_class_does_nothing():
    evaluator = DatasetEvaluator()
    evaluator.reset()
    evaluator.process([], [])
    assert evaluator.evaluate() is None


def test_callbacks_run_at_their_stage():
    log = []
    stages = ("on_start", "before_inference", "after_inference", "on_end")
    callbacks = {stage: (lambda stage=stage: log.append(stage)) for stage in stages}
    inference_on_dataset(lambda x: log.append(f"model {x}"), [1, 2], None, callbacks=callbacks)
    batch = ["before_inference", "model {}", "after_inference"]
    expected = [line.format(i) for i in (1, 2) for line in batch]
    assert log == ["on_start", *expected, "on_end"]


def test_times_and_progress_are_logged(caplog):
    with caplog.at_level(logging.INFO):
        inference_on_dataset(lambda x: x, list(range(12)), None)
    text = caplog.text
    assert "Start inference on 12 batches" in text
    assert "Total inference time" in text
    assert "Total inference pure compute time" in text


def test_inference_context_restores_both_modes():
    for mode in (True, False):
        model = nn.Sequential(nn.Dropout()).train(mode)
        with inference_context(model):
            assert not model[0].training
        assert model.training is mode


@pytest.mark.core_only(reason="upstream leaves the model in evaluation mode after an error")
def test_mode_is_restored_after_an_error():
    model = nn.Linear(1, 1).train()
    with pytest.raises(RuntimeError), inference_context(model):
        raise RuntimeError
    assert model.training


@pytest.mark.core_only(reason="upstream holds a batch's answers while it computes the next")
def test_answers_are_freed_before_the_next_ones_are_made() -> None:
    alive: list[weakref.ref[torch.Tensor]] = []

    def model(inputs: int) -> list[dict[str, torch.Tensor]]:
        assert all(reference() is None for reference in alive)
        scores = torch.zeros(3)
        alive.append(weakref.ref(scores))
        return [{"sem_seg": scores}]

    inference_on_dataset(model, [1, 2, 3], None)
    assert len(alive) == 3
