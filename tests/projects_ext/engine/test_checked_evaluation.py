"""Both trainers look at images and predictions while they evaluate."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import get_cfg
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from projects_ext.engine import Trainer, YamlTrainer
from projects_ext.errors import NonFiniteError, UserError


class Counted(DatasetEvaluator):
    def reset(self) -> None:
        self.count = 0

    def process(self, inputs: Any, outputs: Any) -> None:
        self.count += len(inputs)

    def evaluate(self) -> Any:
        return {"bbox": {"AP": float(self.count)}}


class Scores(nn.Module):
    """Predicts one score for each image: that of the image's first pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.zeros(3, 1, 1))

    def forward(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {"instances": Instances((4, 4), scores=sample["image"][0, 0, :1])} for sample in batch
        ]


def batches(*values: float, channels: int = 3) -> list[list[dict[str, Any]]]:
    return [
        [{"image": torch.full((channels, 4, 4), value), "file_name": f"{index}.jpg"}]
        for index, value in enumerate(values)
    ]


def evaluate(kind: type, loader: Any) -> Any:
    class Own(kind):  # type: ignore[misc]
        @classmethod
        def build_test_loader(cls, cfg: Any, dataset_name: str = "") -> Any:
            return loader

        @classmethod
        def build_evaluator(cls, cfg: Any, dataset_name: str = "") -> Any:
            return Counted()

    cfg = get_cfg()
    cfg.DATASETS.TEST = ("some",)
    return Own.test(cfg, Scores())


@pytest.mark.parametrize("kind", [Trainer, YamlTrainer])
def test_finite_predictions_are_measured(kind: type) -> None:
    assert evaluate(kind, batches(0.5, 0.25)) == {"bbox": {"AP": 2.0}}


@pytest.mark.parametrize("kind", [Trainer, YamlTrainer])
def test_scores_that_are_nan_end_the_evaluation(kind: type) -> None:
    with pytest.raises(NonFiniteError, match=r"instances\.scores predicted for the image 1\.jpg"):
        evaluate(kind, batches(0.5, float("nan"), 0.5))


@pytest.mark.parametrize("kind", [Trainer, YamlTrainer])
def test_images_of_other_channels_end_the_evaluation(kind: type) -> None:
    with pytest.raises(UserError, match=r"0\.jpg was read with 4 channels, but the model takes 3"):
        evaluate(kind, batches(0.5, channels=4))
