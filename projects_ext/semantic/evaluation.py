"""Evaluating a second prediction beside the first."""

from collections import OrderedDict
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from .segmentor import MULTI_SCALE_KEY


class OutputEvaluator(DatasetEvaluator):
    """Another evaluator of ``sem_seg`` on what the model calls otherwise.

    Without such an output, it evaluates nothing. Its results carry that name: ``sem_seg`` becomes
    ``sem_seg_ms_flip``, so that both columns of a table come from one run.

    Args:
        evaluator: what gets the outputs under the name ``sem_seg``.
        output: their name.
    """

    def __init__(self, *, evaluator: DatasetEvaluator, output: str = MULTI_SCALE_KEY) -> None:
        self.evaluator, self.output = evaluator, output
        self._seen = False

    def reset(self) -> None:
        """Forget all images."""
        self._seen = False
        self.evaluator.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Take what a batch has of the output."""
        pairs = [
            (sample, {"sem_seg": output[self.output]})
            for sample, output in zip(inputs, outputs, strict=True)
            if self.output in output
        ]
        if pairs:
            self._seen = True
            self.evaluator.process([pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def evaluate(self) -> OrderedDict[str, Any] | None:
        """The results under the output's name; None where no process had such an output."""
        if not any(comm.all_gather(self._seen)):
            return None
        results = self.evaluator.evaluate()
        if not results:
            return None
        return OrderedDict(
            (name.replace("sem_seg", self.output), values) for name, values in results.items()
        )
