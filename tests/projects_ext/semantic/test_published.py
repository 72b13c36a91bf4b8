"""The published GCNets give the reference's answers, from a weight file on disk to the losses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detectron2.config import LazyConfig, instantiate
from projects_ext.checkpoint import KeyMap, LoadReport, load_weights
from projects_ext.checkpoint.key_map import discover
from projects_ext.engine.parallel import plain_norms_where_alone
from projects_ext.gcnet.key_map import KEY_MAP as GCNET
from projects_ext.semantic.key_map import KEY_MAP as SEMANTIC
from tests.procedural import procedural_image
from tests.two_stage_parity import ROOT, golden_file, load_from_file, openmmlab_state

CONFIGS = {
    "gcnet_seg_cityscapes": "gcnet_r50_d8_512x1024_40k_cityscapes.py",
    "gcnet_seg_cityscapes769": "gcnet_r50_d8_769x769_40k_cityscapes.py",
    "gcnet_seg_ade20k": "gcnet_r50_d8_512x512_80k_ade20k.py",
    "gcnet_seg_voc12aug": "gcnet_r50_d8_512x512_20k_voc12aug.py",
}
CROPS = {
    "gcnet_seg_cityscapes": (512, 1024),
    "gcnet_seg_cityscapes769": (769, 769),
    "gcnet_seg_ade20k": (512, 512),
    "gcnet_seg_voc12aug": (512, 512),
}
LOSSES = {"loss.decode.loss_ce": "loss_sem_seg_ce", "loss.aux.loss_ce": "loss_aux_ce"}
"""There and here."""


def build(name: str) -> Any:
    """The config's model as it runs in one process on a CPU; without dropout, which is random."""
    config = LazyConfig.load(str(ROOT / "configs/gcnet/semantic" / CONFIGS[name]))
    config.model.sem_seg_head.dropout = 0.0
    return plain_norms_where_alone(instantiate(config.model).eval(), on_gpu=False)


def sample(name: str) -> dict[str, Any]:
    golden, meta = golden_file(name)
    pixels = procedural_image(meta["image"], meta["height"], meta["width"])
    return {
        "image": torch.from_numpy(pixels.transpose(2, 0, 1).copy()),
        "sem_seg": torch.from_numpy(golden["gt_label"].astype(np.int64)),
    }


def watch(model: Any, seen: dict[str, Tensor]) -> list[Any]:
    """Keep what parts of the model give."""
    parts = {f"backbone.{index}": model.backbone.stages[index] for index in range(4)}
    parts["decode_head.gc_block"] = model.sem_seg_head.context
    parts["decode_head"] = model.sem_seg_head.predictor

    def keep(name: str) -> Any:
        return lambda module, inputs, output: seen.update({name: output.clone()})

    def ask_the_auxiliary_head(module: nn.Module, inputs: Any, output: Any) -> None:
        seen["auxiliary_head"] = model.auxiliary_head.layers(output)

    hooks = [part.register_forward_hook(keep(name)) for name, part in parts.items()]
    return [*hooks, model.backbone.register_forward_hook(ask_the_auxiliary_head)]


@torch.no_grad()
def answers(model: Any, name: str) -> dict[str, np.ndarray]:
    """The golden file's fields but for the losses."""
    seen: dict[str, Tensor] = {}
    hooks = watch(model, seen)
    given = sample(name)
    found = model([given])[0]["sem_seg"]
    for hook in hooks:
        hook.remove()
    fields = {"network_input_shape": np.array(model.normalise(given["image"])[None].shape)}
    for field, value in seen.items():
        if field.startswith("backbone"):
            value = value[:, :: value.shape[1] // 8, ::4, ::4]
        elif field == "decode_head.gc_block":
            value = value[:, ::64]
        fields[field] = value[:, :24].numpy()
    fields["seg_logits"] = found[:24, ::4, ::4].numpy()
    fields["sem_seg"] = found.argmax(0).numpy()
    return fields


@pytest.fixture(scope="module", params=CONFIGS)
def loaded(request: Any) -> tuple[str, nn.Module, LoadReport]:
    """Golden name, model with its weights, report; one model at a time."""
    model = build(request.param)
    return request.param, model, load_from_file(model, request.param)


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_every_field_agrees(loaded: Any) -> None:
    name, model, _ = loaded
    golden, _ = golden_file(name)
    found = answers(model, name)
    assert set(golden) - set(found) == {"meta", "keys", "gt_label", *LOSSES}
    for field, value in found.items():
        if field == "sem_seg":
            assert (value != golden[field]).mean() <= 1e-3
        else:
            assert_close(value, golden[field])


def padded_to_crop(given: dict[str, Any], model: Any, crop: tuple[int, int]) -> dict[str, Any]:
    """As the reference pads what it trains on: with the mean, and with labels that are ignored."""
    height, width = given["sem_seg"].shape
    image = model.pixel_mean.expand(3, *crop).clone()
    image[:, :height, :width] = given["image"]
    labels = torch.full(crop, 255)
    labels[:height, :width] = given["sem_seg"]
    return {"image": image, "sem_seg": labels}


@contextmanager
def training(model: Any) -> Iterator[None]:
    """In training mode; afterwards in the other, with the statistics that it had."""
    statistics = {key: value.clone() for key, value in model.named_buffers()}
    model.train()
    yield
    model.eval()
    with torch.no_grad():
        for key, value in model.named_buffers():
            value.copy_(statistics[key])


@torch.no_grad()
def test_losses_agree(loaded: Any) -> None:
    name, model, _ = loaded
    golden, _ = golden_file(name)
    given = padded_to_crop(sample(name), model, CROPS[name])
    with training(model):
        losses = model([given])
    assert set(losses) == set(LOSSES.values())
    for theirs, ours in LOSSES.items():
        np.testing.assert_allclose(losses[ours].item(), golden[theirs], rtol=1e-4)


def test_gradients_reach_every_parameter(loaded: Any) -> None:
    name, model, _ = loaded
    with training(model):
        sum(model([sample(name)]).values()).backward()
    unmoved = [key for key, value in model.named_parameters() if not value.grad.any()]
    assert all(value.grad.isfinite().all() for value in model.parameters())
    model.zero_grad()
    # The softmax over positions does not see a constant.
    assert set(unmoved) <= {"sem_seg_head.context.mask.bias"}


def test_every_name_finds_its_place(loaded: Any) -> None:
    name, model, report = loaded
    assert {id(GCNET), id(SEMANTIC)} <= {id(key_map) for key_map in discover(model)}
    assert report.left_over == report.missing == report.reinitialised == []
    own_names = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    assert sorted(report.loaded) == sorted(own_names)
    counted = [key for key in openmmlab_state(name) if not key.endswith("num_batches_tracked")]
    assert len(counted) == len(own_names)


NAME = "gcnet_seg_voc12aug"


@pytest.fixture(scope="module")
def one() -> nn.Module:
    model = build(NAME)
    load_from_file(model, NAME)
    return model


def test_a_wrong_rule_is_found_out(one: nn.Module) -> None:
    # Shapes cannot tell: a second convolution in the place of itself, but transposed.
    def transposed(name: str, value: Tensor) -> Any:
        if name != "decode_head.convs.1.conv.weight":
            return None
        return [("sem_seg_head.convs.1.weight", value.transpose(0, 1))]

    golden, _ = golden_file(NAME)
    assert_close(answers(one, NAME)["decode_head"], golden["decode_head"])
    wrong = KeyMap(rules={"OpenMMLab": [transposed]})
    assert load_weights(one, openmmlab_state(NAME), key_maps=[wrong]).complete
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_close(answers(one, NAME)["decode_head"], golden["decode_head"])
    load_weights(one, openmmlab_state(NAME), strict=True)


def test_another_number_of_classes_starts_both_classifiers_afresh(one: nn.Module) -> None:
    state = dict(openmmlab_state(NAME))
    for key in [key for key in state if ".conv_seg." in key]:
        state[key] = torch.zeros(150, *state[key].shape[1:])
    report = load_weights(one, state)
    assert sorted(report.reinitialised) == [
        f"{head}.predictor.{part}"
        for head in ("auxiliary_head", "sem_seg_head")
        for part in ("bias", "weight")
    ]
    assert "the file has 150 classes, the model 21" in str(report)


def test_a_backbone_trained_on_imagenet_loads(one: nn.Module, tmp_path: Any) -> None:
    prefix = "backbone."
    state = {
        key.removeprefix(prefix): value
        for key, value in openmmlab_state(NAME).items()
        if key.startswith(prefix)
    }
    state["fc.weight"] = torch.zeros(1000, 2048)
    torch.save(state, tmp_path / "resnet50_v1c.pth")
    with torch.no_grad():
        for value in one.backbone.parameters():
            value.zero_()
    report = load_weights(one, tmp_path / "resnet50_v1c.pth")
    assert report.left_over == ["fc.weight"]
    assert not [key for key in report.missing if key.startswith(prefix)]
    golden, _ = golden_file(NAME)
    assert_close(answers(one, NAME)["backbone.3"], golden["backbone.3"])
