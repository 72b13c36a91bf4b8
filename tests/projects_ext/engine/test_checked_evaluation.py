"""Both trainers look at images and predictions while they evaluate."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import get_cfg
from detectron2.evaluation import DatasetEvaluator
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
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


class Overflowing(Scores):
    """Its box head gives NaN or infinity for all images but black ones; no box comes of it."""

    def __init__(self) -> None:
        super().__init__()
        transform = Box2BoxTransform((1.0, 1.0, 1.0, 1.0))
        shape = ShapeSpec(channels=3)
        self.head = FastRCNNOutputLayers(shape, box2box_transform=transform, num_classes=2)
        nn.init.constant_(self.head.cls_score.weight, 3e38)

    def forward(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for sample in batch:
            self.head(sample["image"].amax((1, 2))[None])
        return [{"instances": Instances((4, 4), scores=torch.zeros(0))} for _ in batch]


def batches(*values: float, channels: int = 3) -> list[list[dict[str, Any]]]:
    return [
        [{"image": torch.full((channels, 4, 4), value), "file_name": f"{index}.jpg"}]
        for index, value in enumerate(values)
    ]


def evaluate(kind: type, loader: Any, model: nn.Module | None = None) -> Any:
    class Own(kind):  # type: ignore[misc]
        @classmethod
        def build_test_loader(cls, cfg: Any, dataset_name: str = "") -> Any:
            return loader

        @classmethod
        def build_evaluator(cls, cfg: Any, dataset_name: str = "") -> Any:
            return Counted()

    cfg = get_cfg()
    cfg.DATASETS.TEST = ("some",)
    return Own.test(cfg, model or Scores(), [Counted()] if model else None)


@pytest.mark.parametrize("kind", [Trainer, YamlTrainer])
def test_finite_predictions_are_measured(kind: type) -> None:
    assert evaluate(kind, batches(0.5, 0.25)) == {"bbox": {"AP": 2.0}}


@pytest.mark.parametrize("kind", [Trainer, YamlTrainer])
def test_scores_that_are_nan_end_the_evaluation(kind: type) -> None:
    with pytest.raises(NonFiniteError, match=r"instances\.scores predicted for the image 1\.jpg"):
        evaluate(kind, batches(0.5, float("nan"), 0.5))


@pytest.mark.parametrize("kind", [Trainer, YamlTrainer])
def test_boxes_that_detectron2_drops_for_nan_end_it_too(kind: type) -> None:
    assert evaluate(kind, batches(0.0, 0.0), Overflowing()) == {"bbox": {"AP": 2.0}}
    with pytest.raises(NonFiniteError, match=r"the box head \(FastRCNNOutputLayers\) gives scores"):
        evaluate(kind, batches(0.0, 2.0), Overflowing())


@pytest.mark.parametrize("kind", [Trainer, YamlTrainer])
def test_images_of_other_channels_end_the_evaluation(kind: type) -> None:
    with pytest.raises(UserError, match=r"0\.jpg was read with 4 channels, but the model takes 3"):
        evaluate(kind, batches(0.5, channels=4))
