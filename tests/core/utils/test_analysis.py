"""Counts of operations and activations; figures are upstream's."""

import pytest
import torch
from torch import nn

from detectron2.utils.analysis import (
    activation_count_operators,
    find_unused_parameters,
    flop_count_operators,
)
from tests.core.modeling.dense_models import load_procedural, tiny_retinanet
from tests.core.modeling.rcnn_models import tiny_rcnn


@pytest.fixture
def image():
    generator = torch.Generator().manual_seed(3)
    return torch.rand(3, 64, 96, generator=generator) * 255


def test_operations_of_detectors(image):
    model = tiny_retinanet()
    counts = flop_count_operators(model, [{"image": image, "height": 50, "width": 75, "x": "y"}])
    assert counts["conv"] == pytest.approx(0.006495648)
    assert counts["upsample_nearest2d"] == pytest.approx(1.92e-6)
    assert model.training
    rcnn = load_procedural(tiny_rcnn())
    counts = flop_count_operators(rcnn, [{"image": image}])
    assert counts["conv"] == pytest.approx(0.005127808, rel=0.05)
    assert counts["linear"] == pytest.approx(6.1056e-5, rel=0.05)


def test_activations_of_detectors(image):
    model = tiny_retinanet()
    counts = activation_count_operators(model, [{"image": image, "height": 50, "unused": "text"}])
    assert counts == {"conv": pytest.approx(0.050442)}
    with pytest.raises(AssertionError):
        activation_count_operators(model, 2 * [{"image": image}])


class HalfUsed(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x, factor=1.0):
        return {"a": self.used(x).mean() * factor, "b": self.used.weight.sum()}


def test_unused_parameters():
    model = HalfUsed()
    assert find_unused_parameters(model, torch.rand(2, 4)) == ["unused.weight", "unused.bias"]
    assert find_unused_parameters(model, (torch.rand(2, 4), 2.0))[0] == "unused.weight"
    assert model.used.weight.grad is None
    with pytest.raises(AssertionError):
        find_unused_parameters(model.eval(), torch.rand(2, 4))
