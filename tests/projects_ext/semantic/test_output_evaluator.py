"""Evaluating a second prediction under a name of its own."""

from collections import OrderedDict
from typing import Any

from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators
from projects_ext.semantic import OutputEvaluator


class Counter(DatasetEvaluator):
    """Adds up what it is given."""

    def reset(self) -> None:
        self.total = 0

    def process(self, inputs: Any, outputs: Any) -> None:
        assert len(inputs) == len(outputs)
        self.total += sum(output["sem_seg"] for output in outputs)

    def evaluate(self) -> Any:
        return OrderedDict({"sem_seg": {"mIoU": self.total}})


def test_both_columns_from_one_run() -> None:
    both = DatasetEvaluators([Counter(), OutputEvaluator(evaluator=Counter())])
    for _ in range(2):
        both.reset()
        both.process([{}, {}], [{"sem_seg": 1, "sem_seg_ms_flip": 10}] * 2)
        both.process([{}], [{"sem_seg": 2, "sem_seg_ms_flip": 20}])
        found = both.evaluate()
        assert found == {"sem_seg": {"mIoU": 4}, "sem_seg_ms_flip": {"mIoU": 40}}


def test_without_a_second_prediction_there_is_one_column() -> None:
    both = DatasetEvaluators([Counter(), OutputEvaluator(evaluator=Counter())])
    both.reset()
    both.process([{}], [{"sem_seg": 1}])
    assert both.evaluate() == {"sem_seg": {"mIoU": 1}}


def test_what_was_seen_is_forgotten() -> None:
    evaluator = OutputEvaluator(evaluator=Counter(), output="other")
    evaluator.reset()
    evaluator.process([{}], [{"other": 3}])
    assert evaluator.evaluate() == {"other": {"mIoU": 3}}
    evaluator.reset()
    evaluator.process([{}], [{"sem_seg": 3}])
    assert evaluator.evaluate() is None
