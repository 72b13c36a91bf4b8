"""Models on flat tensors, and the way back to structures."""

import json

import pytest
import torch
from torch import nn

from detectron2.config.instantiate import dump_dataclass, instantiate
from detectron2.export import TracingAdapter
from detectron2.export.flatten import flatten_to_tuple
from detectron2.structures import Boxes, Instances
from tests.core.modeling.dense_models import tiny_retinanet


def make_instances(count: int) -> Instances:
    boxes = Boxes(torch.arange(4.0 * count).reshape(count, 4))
    return Instances((30, 40), scores=torch.rand(count), pred_boxes=boxes)


def test_there_and_back():
    found = make_instances(2)
    original = {
        "b": [torch.ones(1), (torch.zeros(2), found)],
        "a": Boxes(torch.ones(3, 4)),
        "s": "x",
    }
    leaves, schema = flatten_to_tuple(original)
    # Keys are sorted; the size of Instances comes after their fields.
    assert [tuple(x.shape) for x in leaves[:-1]] == [(3, 4), (1,), (2,), (2, 4), (2,), (2,)]
    assert leaves[-1] == "x"
    assert leaves[5].tolist() == [30, 40]
    rebuilt = schema(leaves)
    assert isinstance(rebuilt["b"][1], tuple)
    assert isinstance(rebuilt["a"], Boxes)
    again = rebuilt["b"][1][1]
    assert isinstance(again, Instances)
    assert torch.equal(again.pred_boxes.tensor, found.pred_boxes.tensor)
    assert [int(x) for x in again.image_size] == [30, 40]
    assert schema == flatten_to_tuple(original)[1]
    assert schema != flatten_to_tuple({"a": 3})[1]
    with pytest.raises((ValueError, AssertionError)):
        schema(leaves[:-1])
    with pytest.raises(KeyError):
        flatten_to_tuple({3: torch.ones(1)})


class Toy(nn.Module):
    def forward(self, batch, factor):
        boxes = Boxes(batch[0]["image"].flatten()[:8].reshape(2, 4) * factor)
        return [{"instances": Instances((5, 6), boxes=boxes, scores=boxes.area())}]


def test_tracing_a_function_of_structures():
    inputs = ([{"image": torch.rand(3, 4)}], torch.tensor(2.0))
    adapter = TracingAdapter(Toy(), inputs)
    assert len(adapter.flattened_inputs) == 2
    traced = torch.jit.trace(adapter, adapter.flattened_inputs)
    other = ([{"image": torch.rand(5, 4)}], torch.tensor(3.0))
    expected = Toy()(*other)[0]["instances"]
    answer = adapter._create_wrapper(traced)(*other)[0]["instances"]
    assert torch.equal(answer.boxes.tensor, expected.boxes.tensor)
    assert torch.equal(answer.scores, expected.scores)


def test_what_is_no_tensor():
    batch = [{"image": torch.rand(3, 4), "name": "x"}]
    with pytest.raises(ValueError, match="str"):
        TracingAdapter(Toy(), (batch, torch.tensor(1.0)))
    adapter = TracingAdapter(Toy(), (batch, 2.0), allow_non_tensor=True)
    assert len(adapter.flattened_inputs) == 1
    assert adapter.inputs_schema is None
    assert len(adapter(*adapter.flattened_inputs)) == 3
    with pytest.raises(ValueError, match="outputs"):
        TracingAdapter(nn.Identity(), torch.ones(1), lambda model, x: {"a": "text"})(torch.ones(1))


def test_constants_of_inputs_do_not_serve_other_tensors():
    adapter = TracingAdapter(Toy(), ([{"image": torch.rand(3, 4)}], 2.0), allow_non_tensor=True)
    adapter(*adapter.flattened_inputs)
    with pytest.raises(ValueError, match="cannot generalize"):
        adapter(torch.rand(3, 4))


def test_schemas_are_saved_as_text():
    schema = flatten_to_tuple([3, ({"a": Boxes(torch.ones(1, 4))}, make_instances(2))])[1]
    text = json.dumps(dump_dataclass(schema))
    again = instantiate(json.loads(text))
    assert again == schema
    other = flatten_to_tuple([1, ({"a": Boxes(torch.ones(2, 4))}, make_instances(1))])[0]
    assert isinstance(again(other)[1], tuple)


def test_a_detector():
    model = tiny_retinanet().eval()
    images = [torch.rand(3, 64, 96) * 255, torch.rand(3, 64, 96) * 255]

    adapter = TracingAdapter(model, [{"image": images[0]}])
    with torch.no_grad():
        traced = torch.jit.trace(adapter, adapter.flattened_inputs, check_trace=False)
        expected = model([{"image": images[1]}])[0]["instances"]
        found = adapter.outputs_schema(traced(images[1]))[0]["instances"]
    torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    torch.testing.assert_close(found.scores, expected.scores)
