"""What every detector here can do, whatever it is made of."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.utils.events import EventStorage
from tests.small_systems import SMALL, image, record, small_config, small_model


@pytest.fixture(scope="module", params=SMALL)
def name(request: Any) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str) -> nn.Module:
    return small_model(name).eval()


def losses(model: nn.Module, batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    with EventStorage():
        return model(batch)


def detect(model: nn.Module, *images: torch.Tensor) -> list[Any]:
    with torch.no_grad():
        return [found["instances"] for found in model([{"image": x} for x in images])]


def assert_same_detections(one: Any, other: Any, atol: float = 1e-3) -> None:
    assert len(one) == len(other) > 0
    assert torch.equal(one.pred_classes, other.pred_classes)
    torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(one.pred_boxes.tensor, other.pred_boxes.tensor, rtol=0, atol=atol)
    if one.has("pred_masks"):
        assert (one.pred_masks != other.pred_masks).float().mean() < 1e-4


def test_every_trained_parameter_has_a_gradient(name: str) -> None:
    model = small_model(name).train()
    gradients: dict[str, torch.Tensor] = {}
    # The last convolution of a context block and the gamma of an attention start at zero, and let
    # nothing through until they have learnt a little.
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith(("channel_add.3.weight", "post_module.gamma")):
                value.fill_(0.1)
    found = losses(model, [record("a"), record("b", 3)])
    assert all(value.isfinite() for value in found.values())
    sum(found.values()).backward()
    for key, value in model.named_parameters():
        if value.requires_grad:
            gradients[key] = value.grad
    assert gradients
    dead = [key for key, value in gradients.items() if value is None or not value.any()]
    # A bias that shifts all logits of a softmax moves nothing.
    assert [key for key in dead if not key.endswith("activation.mask.bias")] == []


@pytest.mark.parametrize("objects", [(0, 0), (0, 2)])
def test_images_without_objects_train(name: str, objects: tuple[int, int]) -> None:
    model = small_model(name).train()
    batch = [record(f"image {index}", count) for index, count in enumerate(objects)]
    found = losses(model, batch)
    assert all(value.isfinite() for value in found.values())
    sum(found.values()).backward()
    # Zero, and not nothing: processes that have objects wait for these gradients.
    assert [k for k, v in model.named_parameters() if v.requires_grad and v.grad is None] == []


def test_an_image_does_not_depend_on_the_others_of_its_batch(model: nn.Module) -> None:
    images = [image("a"), image("b"), image("c")]
    together = detect(model, *images)
    for one, found in zip(images, together, strict=True):
        assert_same_detections(detect(model, one)[0], found)


def test_odd_sizes(model: nn.Module) -> None:
    for height, width in ((33, 257), (97, 65)):
        found = detect(model, image("odd", height, width))[0]
        assert found.image_size == (height, width)
        boxes = found.pred_boxes.tensor
        assert len(boxes) > 0
        assert (boxes >= 0).all()
        assert (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()


def test_nothing_found(name: str) -> None:
    model = small_model(name).eval()
    model.roi_heads.box_predictor.test_score_thresh = 1.1
    found = detect(model, image("a"))[0]
    assert len(found) == 0
    assert found.pred_boxes.tensor.shape == (0, 4)


def test_no_proposals(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.proposal_generator, "min_box_size", 1e6)
    assert len(detect(model, image("a"))[0]) == 0


def test_autocast_trains_and_detects(name: str) -> None:
    model = small_model(name).train()
    with torch.autocast("cpu", torch.bfloat16):
        found = losses(model, [record("a"), record("b")])
        sum(found.values()).backward()
        assert all(value.isfinite() for value in found.values())
        instances = detect(model.eval(), image("a"))[0]
    assert len(instances) > 0
    assert instances.pred_boxes.tensor.isfinite().all()


def test_weights_load_into_another_model(name: str, model: nn.Module) -> None:
    other = small_model(name).eval()
    with torch.no_grad():
        for value in other.parameters():
            value.add_(0.01)
    other.load_state_dict(model.state_dict())
    assert_same_detections(detect(other, image("a"))[0], detect(model, image("a"))[0], atol=0)


def test_config_has_the_published_kind_of_parts(name: str) -> None:
    config = small_config(name)
    text = str(config)
    parts = {
        "carafe": "CARAFEFPN",
        "groie": "GRoIEPooler",
        "gcnet": "ContextBasicBlock",
        "grid": "GridHead",
    }
    for word in name.split():
        assert parts.get(word, "") in text
