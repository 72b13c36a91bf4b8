"""Predictions that are NaN or infinite, and images of another number of channels, by name."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator
from detectron2.structures import Boxes, Instances
from projects_ext.errors import NonFiniteError, UserError
from projects_ext.evaluation import CheckedPredictions, channels_watched

NAN, INFINITE = float("nan"), float("inf")


class Kept(DatasetEvaluator):
    def __init__(self) -> None:
        self.batches: list[Any] = []

    def process(self, inputs: Any, outputs: Any) -> None:
        self.batches.append((inputs, outputs))

    def evaluate(self) -> Any:
        return {"bbox": {"AP": float(len(self.batches))}}


def instances(score: float = 0.5, corner: float = 3.0) -> Instances:
    found = Instances((8, 8))
    found.pred_boxes = Boxes(torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, corner, 2.0]]))
    found.scores = torch.tensor([0.9, score])
    found.pred_classes = torch.tensor([0, 0])
    return found


def proposals(logit: float) -> Instances:
    found = Instances((8, 8))
    found.proposal_boxes = Boxes(torch.zeros(1, 4))
    found.objectness_logits = torch.tensor([logit])
    return found


def scores(value: float) -> torch.Tensor:
    values = torch.zeros(3, 4, 4)
    values[1, 2, 3] = value
    return values


GIVEN = [{"file_name": "a.jpg", "image_id": 1}]


@pytest.mark.parametrize(
    ("predicted", "what"),
    [
        ({"instances": instances(NAN)}, r"1 of 2 values of instances\.scores"),
        ({"instances": instances(INFINITE)}, r"1 of 2 values of instances\.scores"),
        ({"instances": instances(0.5, NAN)}, r"1 of 8 values of instances\.pred_boxes"),
        ({"proposals": proposals(-INFINITE)}, r"1 of 1 values of proposals\.objectness_logits"),
        ({"sem_seg": scores(NAN)}, r"1 of 48 values of sem_seg"),
        ({"sem_seg": scores(0), "sem_seg_ms_flip": scores(INFINITE)}, "values of sem_seg_ms_flip"),
    ],
)
def test_what_is_not_finite_is_refused(predicted: dict[str, Any], what: str) -> None:
    kept = Kept()
    with pytest.raises(NonFiniteError, match=f"{what} predicted for the image a.jpg .*diverged"):
        CheckedPredictions(kept).process(GIVEN, [predicted])
    assert not kept.batches


@pytest.mark.parametrize(
    "predicted",
    [
        {"instances": instances()},
        {"instances": instances()[:0]},
        {"sem_seg": scores(-INFINITE)},  # logarithms of probabilities
        {"sem_seg": scores(3e38)},
        {"sem_seg": torch.full((3, 4, 4), 3e38)},
        {"panoptic_seg": (scores(NAN), [])},
    ],
)
def test_all_else_is_passed_on(predicted: dict[str, Any]) -> None:
    kept = Kept()
    checked = CheckedPredictions(kept)
    checked.reset()
    outputs = [predicted]
    checked.process(GIVEN, outputs)
    checked.process({"image": 1}, {"answer": 2})  # not a batch of Detectron2's
    assert kept.batches[0][1] is outputs
    assert checked.evaluate() == {"bbox": {"AP": 2.0}}


@pytest.fixture
def boxes_only(tmp_path: Any) -> Iterator[str]:
    name = "test_checked_boxes"
    record = {"file_name": "a.jpg", "image_id": 1, "height": 8, "width": 8, "annotations": []}
    DatasetCatalog.register(name, lambda: [record])
    MetadataCatalog.get(name).set(thing_classes=["a"])
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_masks_cannot_be_measured_where_none_are_predicted(boxes_only: str, tmp_path: Any) -> None:
    evaluator = COCOEvaluator(boxes_only, tasks=("bbox", "segm"), output_dir=str(tmp_path))
    checked = CheckedPredictions(evaluator)
    checked.reset()
    with pytest.raises(UserError, match=r"the model predicts none: give it tasks=\[bbox\]"):
        checked.process(GIVEN, [{"instances": instances()}])


class Model(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.zeros(channels, 1, 1))

    def forward(self, batch: Any) -> int:
        return len(batch)


def batch(channels: int) -> list[dict[str, Any]]:
    return [{"image": torch.zeros(channels, 4, 4), "file_name": "a.png"}]


@pytest.mark.parametrize(
    ("channels", "wanted", "remedy"),
    [
        (4, 3, r"set dataloader\.train\.mapper\.image_format=RGB \(YAML: INPUT\.FORMAT RGB\), or"),
        (3, 4, r"set dataloader\.train\.mapper\.image_format=RGBA .*first layer has to take 4"),
        (3, 6, r"give model\.pixel_mean and model\.pixel_std 3 values"),
    ],
)
def test_other_channels_are_refused_before_the_model(
    channels: int, wanted: int, remedy: str
) -> None:
    model = Model(wanted)
    sentence = rf"a\.png was read with {channels} channels, but the model takes {wanted} .*{remedy}"
    with channels_watched(model), pytest.raises(UserError, match=sentence):
        model(batch(channels))
    assert model(batch(channels)) == 1


def test_a_model_that_says_its_format_is_to_say_the_same() -> None:
    """Else the program refuses the other key."""
    model = Model(4)
    model.input_format = "RGB"
    keys = r"mapper\.image_format=RGBA model\.input_format=RGBA \(YAML: INPUT\.FORMAT RGBA\)"
    with channels_watched(model), pytest.raises(UserError, match=keys):
        model(batch(3))


@pytest.mark.parametrize(("channels", "wanted"), [(3, 3), (1, 3), (3, 1), (1, 1)])
def test_fitting_channels_pass(channels: int, wanted: int) -> None:
    model = Model(wanted)
    with channels_watched(model):
        assert model(batch(channels)) == 1
        assert model([]) == 0
    assert channels_watched(nn.Identity()).__enter__() is None
